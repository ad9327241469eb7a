use std::time::{Duration, Instant};

use super::program::{failed, printed, refused};

const PROGRAM: &str = env!("CARGO_BIN_EXE_task_group");

#[tokio::test]
async fn all_results_are_there_in_the_order_of_the_tasks() {
    assert_eq!(
        printed(PROGRAM, &["read=10", "write=1", "check=5"]).await,
        "read: 10\nwrite: 1\ncheck: 5\n"
    );
    assert_eq!(printed(PROGRAM, &["one=0"]).await, "one: 0\n");
}

#[tokio::test]
async fn the_first_failure_ends_all_others_before_it_is_told() {
    let start = Instant::now();
    let (cancelled, complaint) = failed(PROGRAM, &["a=600000", "b=fail", "c=600000"]).await;
    let mut cancelled: Vec<_> = cancelled.lines().collect();
    cancelled.sort_unstable();
    assert_eq!(cancelled, ["a: cancelled", "c: cancelled"]);
    assert_eq!(complaint, "task b failed");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn what_is_no_task_is_refused() {
    for (task, reason) in [
        ("read", "expected NAME=MILLISECONDS or NAME=fail"),
        ("read=soon", "invalid digit found in string"),
    ] {
        let told = refused(PROGRAM, &[task]).await;
        assert!(told.contains(task) && told.contains(reason), "{told}");
    }
}
