use std::time::Duration;

use mainstay_examples_testing::report;
use mainstay_tasks::{Outcome, StartError, Tasks};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn it_reports_once_a_minute_until_it_is_stopped() {
    let (tasks, start) = (Tasks::new(), Instant::now());
    let (to, mut reports) = mpsc::channel(1);
    report(&tasks, to).unwrap();
    for minute in 0..60 {
        assert_eq!(reports.recv().await, Some(minute + 1));
        assert_eq!(start.elapsed(), Duration::from_secs(60) * minute);
    }
    let outcome = tasks.stop("report", Duration::from_secs(5)).await.unwrap();
    assert!(matches!(outcome, Outcome::Completed), "{outcome}");
    assert_eq!(reports.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn there_is_one_report_at_a_time() {
    let tasks = Tasks::new();
    let (to, _reports) = mpsc::channel(1);
    report(&tasks, to.clone()).unwrap();
    assert_eq!(
        report(&tasks, to),
        Err(StartError::Running("report".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn it_fails_when_nobody_listens_any_more() {
    let tasks = Tasks::new();
    let (to, reports) = mpsc::channel(1);
    drop(reports);
    report(&tasks, to).unwrap();
    // The clock moves only when nothing else is to be done.
    sleep(Duration::from_millis(1)).await;
    let outcome = tasks.last_outcome("report").unwrap();
    assert_eq!(outcome.to_string(), "failed: channel closed");
    assert!(tasks.list().is_empty());
}
