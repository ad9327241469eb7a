use super::program::{failed, printed, refused};

const PROGRAM: &str = env!("CARGO_BIN_EXE_background_tasks");

#[tokio::test]
async fn each_task_runs_once_a_period_and_stops_when_it_is_asked_to() {
    for (run_for, tasks) in [
        (60, [("fast", 10), ("slow", 30)]),
        (40, [("a", 40), ("b", 5)]),
    ] {
        let run_for_ = run_for.to_string();
        let tasks_ = tasks.map(|(name, period)| format!("{name}={period}"));
        let printed = printed(PROGRAM, &["--run-for", &run_for_, &tasks_[0], &tasks_[1]]).await;
        for (name, period) in tasks {
            let runs = runs(&printed, name);
            // The first is at once, and on a machine that is busy the last ones may be late or missed.
            assert!(
                runs >= 1 && printed.contains(&format!("{name}: completed")),
                "{printed}"
            );
            // It may be told to stop late, but not by much: a run is never made up for.
            assert!(runs <= 1 + 20 * run_for / period, "{printed}");
        }
    }
}

#[tokio::test]
async fn the_name_of_a_task_that_failed_is_free() {
    let printed = printed(PROGRAM, &["--run-for", "10", "--failing"]).await;
    assert_eq!(
        printed,
        "failing: at first failed: no space left on the disk\nfailing: completed\n"
    );
}

#[tokio::test]
async fn a_task_that_ignores_its_cancellation_is_named_and_the_others_end_all_the_same() {
    let (printed, complaint) = failed(PROGRAM, &["--run-for", "10", "--stubborn", "good=5"]).await;
    assert!(printed.ends_with("good: completed\n"), "{printed}");
    assert_eq!(complaint, "did not stop, and were aborted: stubborn");
}

#[tokio::test]
async fn there_are_no_two_tasks_of_one_name_and_no_period_of_zero() {
    let (printed, complaint) = failed(PROGRAM, &["a=10", "a=20"]).await;
    assert_eq!(printed, "");
    assert_eq!(
        complaint,
        "task \"a\" is not started: one of this name is alive"
    );
    let told = refused(PROGRAM, &["a=0"]).await;
    assert!(told.contains("a period must not be zero"), "{told}");
}

fn runs(printed: &str, name: &str) -> u64 {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}: ")));
    let runs = line.and_then(|line| line.strip_suffix(" runs"));
    runs.expect(printed).parse().unwrap()
}
