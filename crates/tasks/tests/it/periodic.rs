use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_tasks::{Outcome, Period, Tasks};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn of_what_falls_due_during_a_long_run_one_is_made_up_for() {
    let (tasks, begun, start) = (
        Tasks::new(),
        Arc::new(Mutex::new(Vec::new())),
        Instant::now(),
    );
    let runs = begun.clone();
    let run = move || {
        let long = {
            let mut runs = runs.lock().unwrap(); // nobody panics with it
            runs.push(start.elapsed().as_secs());
            runs.len() == 2
        };
        async move {
            sleep(if long { SECOND * 25 } else { SECOND }).await;
            Ok(())
        }
    };
    let period = Period::new(SECOND * 10).unwrap(); // not zero
    tasks.start_periodic("metrics", period, run).unwrap();
    sleep(SECOND * 55).await;
    assert!(matches!(
        tasks.stop("metrics", SECOND).await,
        Ok(Outcome::Completed)
    ));
    assert_eq!(*begun.lock().unwrap(), [0, 10, 35, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_is_the_last() {
    let (tasks, runs) = (Tasks::new(), Arc::new(Mutex::new(0)));
    let count = runs.clone();
    let run = move || {
        *count.lock().unwrap() += 1; // nobody panics with it
        async { Err("no disk".into()) }
    };
    let period = Period::new(SECOND).unwrap(); // not zero
    tasks.start_periodic("metrics", period, run).unwrap();
    sleep(SECOND * 10).await;
    assert_eq!(*runs.lock().unwrap(), 1);
    let last = tasks.last_outcome("metrics").unwrap();
    assert_eq!(last.to_string(), "failed: no disk");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_run_that_is_under_way_but_for_no_tick() {
    let tasks = Tasks::new();
    let run = async || {
        sleep(SECOND).await;
        Ok(())
    };
    let period = Period::new(SECOND * 10).unwrap(); // not zero
    tasks.start_periodic("metrics", period, run).unwrap();
    for (at, waits) in [(SECOND / 2, SECOND / 2), (SECOND * 5, Duration::ZERO)] {
        sleep(at).await;
        let start = Instant::now();
        let outcome = tasks.stop("metrics", SECOND).await;
        assert!(matches!(outcome, Ok(Outcome::Completed)));
        assert_eq!(start.elapsed(), waits);
        tasks.start_periodic("metrics", period, run).unwrap();
    }
}

#[test]
fn a_period_of_zero_is_refused() {
    let refused = Period::new(Duration::ZERO).unwrap_err();
    assert_eq!(refused.to_string(), "a period must not be zero");
}

#[tokio::test(start_paused = true)]
async fn the_longest_period_is_as_good_as_any() {
    let tasks = Tasks::new();
    let period = Period::new(Duration::MAX).unwrap(); // not zero
    let run = async || Ok(());
    tasks.start_periodic("metrics", period, run).unwrap();
    sleep(SECOND).await;
    assert_eq!(tasks.list().len(), 1);
}
