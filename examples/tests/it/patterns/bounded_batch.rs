use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bounded_batch");

#[tokio::test]
async fn each_item_has_its_result_in_order_and_only_so_many_are_worked_on() {
    assert_eq!(
        printed(PROGRAM, &["--concurrency", "3", "8", "1", "2", "360", "5"]).await,
        "8: 45\n1: 360\n2: 180\n360: 1\n5: 72\nat once: 3\n"
    );
    assert_eq!(
        printed(PROGRAM, &["--concurrency", "1", "3", "4"]).await,
        "3: 120\n4: 90\nat once: 1\n"
    );
}

#[tokio::test]
async fn an_item_that_fails_or_panics_is_the_only_one_that_does() {
    let (results, complaint) = failed(PROGRAM, &["1", "x", "0", "2"]).await;
    assert_eq!(
        results,
        "1: 360\n\
         x: invalid digit found in string\n\
         0: panicked: attempt to divide by zero\n\
         2: 180\n\
         at once: 2\n"
    );
    assert_eq!(complaint, "2 of 4 failed");
}

#[tokio::test]
async fn with_fail_fast_the_first_failure_is_the_only_result() {
    let arguments = ["--fail-fast", "1", "2", "8"];
    assert_eq!(printed(PROGRAM, &arguments).await, "[360, 180, 45]\n");
    let arguments = ["--fail-fast", "1", "x", "8"];
    let (results, complaint) = failed(PROGRAM, &arguments).await;
    assert_eq!(results, "");
    assert_eq!(complaint, "item failed: invalid digit found in string");
}

#[tokio::test]
async fn none_at_once_is_an_error() {
    let (results, complaint) = failed(PROGRAM, &["--concurrency", "0", "1"]).await;
    assert_eq!(results, "");
    assert_eq!(complaint, "invalid concurrency: it must not be zero");
}
