use std::future::pending;
use std::iter::repeat;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_tasks::{BoxError, Outcome, Restart, RestartLimit, State, Supervision, Tasks};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn on_failure() -> Supervision<fn() -> std::iter::Repeat<Duration>> {
    Supervision::new(Restart::OnFailure, || repeat(SECOND))
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_is_run_again_until_it_completes() {
    let (tasks, begun, start) = (
        Tasks::new(),
        Arc::new(Mutex::new(Vec::new())),
        Instant::now(),
    );
    let runs = begun.clone();
    let make = move |_| {
        let mut runs = runs.lock().unwrap(); // nobody panics with it
        runs.push(start.elapsed().as_secs());
        let run = runs.len();
        async move {
            sleep(SECOND).await;
            match run {
                1 => Err("no disk".into()),
                2 => panic!("at the disk"),
                _ => Ok(()),
            }
        }
    };
    tasks.start_supervised("a", on_failure(), make).unwrap();
    sleep(SECOND * 9).await;
    assert_eq!(*begun.lock().unwrap(), [0, 2, 4]);
    assert!(tasks.list().is_empty());
    assert!(matches!(tasks.last_outcome("a"), Some(Outcome::Completed)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_future_is_one_of_the_run() {
    let (tasks, runs) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let count = runs.clone();
    let make = move |_| {
        assert!(count.fetch_add(1, SeqCst) > 0, "at the disk");
        async { Ok(()) }
    };
    tasks.start_supervised("a", on_failure(), make).unwrap();
    sleep(SECOND * 9).await;
    assert_eq!(runs.load(SeqCst), 2);
    assert!(matches!(tasks.last_outcome("a"), Some(Outcome::Completed)));
}

#[tokio::test(start_paused = true)]
async fn the_list_shows_restarts_and_the_last_outcome() {
    let tasks = Tasks::new();
    let make = async |_| -> Result<(), BoxError> {
        sleep(SECOND).await;
        Err("no disk".into())
    };
    tasks.start_supervised("a", on_failure(), make).unwrap();
    sleep(SECOND / 2).await;
    let status = tasks.list().remove(0);
    assert_eq!((status.state, status.restarts), (State::Running, 0));
    assert!(status.last.is_none());
    sleep(SECOND).await;
    let status = tasks.list().remove(0);
    assert_eq!((status.state, status.restarts), (State::Waiting, 0));
    assert_eq!(status.last.unwrap().to_string(), "failed: no disk");
    sleep(SECOND).await;
    let status = tasks.list().remove(0);
    assert_eq!((status.state, status.restarts), (State::Running, 1));
    assert_eq!(status.last.unwrap().to_string(), "failed: no disk");
    assert_eq!(status.age, SECOND * 5 / 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_given_up_is_reported_and_its_name_is_free() {
    let tasks = Tasks::new();
    let limit = RestartLimit::new(NonZeroU32::new(3).unwrap(), SECOND * 60).unwrap(); // not zero
    let make = async |_| -> Result<(), BoxError> { Err("no disk".into()) };
    let supervision = on_failure().with_limit(limit);
    tasks.start_supervised("a", supervision, make).unwrap();
    sleep(SECOND * 9).await;
    assert_eq!(
        tasks.last_outcome("a").unwrap().to_string(),
        "given up after 3 restarts: failed: no disk"
    );
    assert!(tasks.list().is_empty());
    tasks.start("a", async |_| Ok(())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_to_stop_is_not_run_again() {
    let (tasks, runs) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let count = runs.clone();
    let make = move |stopping: tokio_util::sync::CancellationToken| {
        count.fetch_add(1, SeqCst);
        async move {
            stopping.cancelled().await;
            Err("stopped".into())
        }
    };
    // Nor is it given up.
    let supervision = Supervision::new(Restart::OnFailure, std::iter::empty);
    tasks.start_supervised("a", supervision, make).unwrap();
    sleep(SECOND).await;
    let outcome = tasks.stop("a", SECOND).await.unwrap();
    assert_eq!(outcome.to_string(), "failed: stopped");
    sleep(SECOND * 9).await;
    assert_eq!(runs.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_the_delay_of_a_restart() {
    let (tasks, runs) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let supervision = Supervision::new(Restart::Always, || repeat(SECOND * 3600));
    let count = runs.clone();
    let make = move |_| {
        count.fetch_add(1, SeqCst);
        async { Ok(()) }
    };
    tasks.start_supervised("a", supervision, make).unwrap();
    sleep(SECOND).await;
    assert_eq!(tasks.list()[0].state, State::Waiting);
    let start = Instant::now();
    let outcome = tasks.stop("a", SECOND).await;
    assert!(matches!(outcome, Ok(Outcome::Completed)));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(runs.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn each_run_is_gone_before_the_next_begins() {
    let (tasks, alive) = (Tasks::new(), Arc::new(()));
    let ours = alive.clone();
    let make = move |_| {
        assert_eq!(Arc::strong_count(&ours), 2, "two runs are alive");
        let held = ours.clone();
        async move {
            sleep(SECOND).await;
            drop(held);
            Ok(())
        }
    };
    let supervision = Supervision::new(Restart::Always, || repeat(Duration::ZERO));
    tasks.start_supervised("a", supervision, make).unwrap();
    sleep(SECOND * 9).await;
    let status = tasks.list().remove(0);
    assert!(status.restarts >= 8);
    assert!(matches!(status.last, Some(Outcome::Completed)));
}

#[tokio::test(start_paused = true)]
async fn a_supervised_task_replaces_another_when_it_has_ended() {
    let tasks = Tasks::new();
    tasks.start("a", |_| pending()).unwrap();
    let start = Instant::now();
    let replaced = tasks.replace_supervised("a", SECOND, on_failure(), |_| pending());
    replaced.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(tasks.list()[0].state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_is_the_outcome_of_its_task() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let tasks = Tasks::new();
    let body = async |_| {
        let _held = PanicsWhenDropped;
        Ok(())
    };
    tasks.start("a", body).unwrap();
    sleep(SECOND).await;
    assert_eq!(
        tasks.last_outcome("a").unwrap().to_string(),
        "panicked: in a destructor"
    );
}
