use std::time::Duration;

use mainstay_examples_testing::{Answer, Handler};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn it_takes_as_long_as_the_longest_of_what_it_does() {
    let start = Instant::now();
    let answer = Handler.handle(123, "alice").await.unwrap();
    let data = "data of 123".into();
    assert_eq!(
        answer,
        Answer {
            data,
            quota_ok: true
        }
    );
    assert_eq!(start.elapsed(), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_in_the_answer() {
    let answer = Handler.handle(7, "greedy").await.unwrap();
    assert!(!answer.quota_ok);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_user_is_told_as_soon_as_that_is_known() {
    let start = Instant::now();
    let error = Handler.handle(123, "").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no user \"\"");
    // The data, which would take 100 ms, is not waited for.
    assert_eq!(start.elapsed(), Duration::from_millis(50));
}
