use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_tasks::{BoxError, Outcome, Phase, Resource, Shutdown, StartError, Tasks};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// What was released, and when.
#[derive(Clone, Default)]
struct Released(Arc<Mutex<Vec<&'static str>>>);

impl Released {
    /// A resource that needs a second to be released.
    async fn acquire(&self, tasks: &Tasks, name: &'static str) -> Resource<&'static str> {
        let released = self.clone();
        let release = async move |resource| {
            sleep(SECOND).await;
            released.0.lock().unwrap().push(resource); // nobody panics with it
            Ok(())
        };
        let acquire = async { Ok::<_, BoxError>(name) };
        tasks.acquire("resource", acquire, release).await.unwrap()
    }

    #[track_caller]
    fn is(&self, expected: &[&str]) {
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_released_after_an_error_a_cancellation_and_a_panic() {
    let (tasks, released) = (Tasks::new(), Released::default());

    let fails = async {
        let _held = released.acquire(&tasks, "error").await;
        Err::<(), _>("no disk")
    };
    assert!(fails.await.is_err());
    sleep(SECOND * 2).await;
    released.is(&["error"]);

    let cancelled = async {
        let _held = released.acquire(&tasks, "cancellation").await;
        pending::<()>().await;
    };
    assert!(timeout(SECOND, cancelled).await.is_err());
    sleep(SECOND * 2).await;
    released.is(&["error", "cancellation"]);

    let held = released.acquire(&tasks, "panic").await;
    let panics = tokio::spawn(async move {
        let _held = held;
        panic!("at the disk");
    });
    assert!(panics.await.unwrap_err().is_panic());
    sleep(SECOND * 2).await;
    released.is(&["error", "cancellation", "panic"]);
    assert!(tasks.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_when_what_was_held_is_released() {
    let (shutdown, released) = (Shutdown::new(), Released::default());
    let pools = shutdown.at(Phase::ClosePools);
    let held = released.acquire(pools, "a").await;
    let holder = async move |stopping: tokio_util::sync::CancellationToken| {
        stopping.cancelled().await;
        drop(held);
        Ok(())
    };
    shutdown
        .at(Phase::StopTasks)
        .start("holder", holder)
        .unwrap();
    let start = Instant::now();
    shutdown.begin();
    let report = shutdown.run().await;
    released.is(&["a"]);
    assert_eq!(start.elapsed(), SECOND);
    assert!(report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn what_is_still_held_when_the_time_is_over_is_named() {
    let (tasks, released) = (Tasks::new(), Released::default());
    let held = released.acquire(&tasks, "a").await;
    let report = tasks.shutdown(SECOND, SECOND).await;
    assert_eq!(report.aborted, [held.name().clone()]);
    assert_eq!(**held.name(), *"resource #1");
    assert!(matches!(held.release().await, Outcome::Aborted));
    released.is(&[]);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_is_acquired() {
    let tasks = Tasks::new();
    tasks.shutdown(SECOND, SECOND).await;
    let acquire = async { panic!("it is acquired") };
    let acquired = tasks.acquire::<_, (), BoxError, _, _>("a", acquire, async |()| Ok(()));
    let refused = acquired.await.unwrap_err();
    let refused = refused.downcast_ref::<StartError>();
    assert_eq!(refused, Some(&StartError::ShutDown("a #1".into())));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_acquired_is_not_released() {
    let tasks = Tasks::new();
    let release = async |()| panic!("it is released");
    let fails = async { Err("no disk") };
    let error = tasks.acquire("a", fails, release).await.unwrap_err();
    assert_eq!(error.to_string(), "no disk");

    let never = pending::<Result<(), BoxError>>();
    let cancelled = timeout(SECOND, tasks.acquire("b", never, release));
    assert!(cancelled.await.is_err());

    sleep(SECOND).await;
    assert!(tasks.list().is_empty());
    assert!(matches!(
        tasks.last_outcome("a #1"),
        Some(Outcome::Completed)
    ));
    assert!(matches!(
        tasks.last_outcome("b #2"),
        Some(Outcome::Completed)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_says_so() {
    let tasks = Tasks::new();
    let acquire = async || Ok::<_, BoxError>(());
    let fails = async |()| Err("no disk".into());
    let held = tasks.acquire("a", acquire(), fails).await.unwrap();
    assert_eq!(held.release().await.to_string(), "failed: no disk");

    let panics = async |()| panic!("at the disk");
    let held = tasks.acquire("a", acquire(), panics).await.unwrap();
    assert_eq!(held.release().await.to_string(), "panicked: at the disk");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_nobody_waits_for_any_more_goes_on() {
    let (tasks, released) = (Tasks::new(), Released::default());
    let mut held = released.acquire(&tasks, "a").await;
    assert_eq!(*held, "a");
    *held = "b";
    assert!(timeout(SECOND / 2, held.release()).await.is_err());
    sleep(SECOND).await;
    released.is(&["b"]);
}

#[tokio::test]
async fn it_may_be_dropped_outside_of_the_runtime() {
    let tasks = Tasks::new();
    let acquire = async { Ok::<_, BoxError>(()) };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let release = async move |()| {
        sender.send(()).unwrap(); // it is received below
        Ok(())
    };
    let held = tasks.acquire("a", acquire, release).await.unwrap();
    std::thread::spawn(move || drop(held)).join().unwrap();
    receiver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_one_of_several_is_not_acquired_the_others_are_released() {
    let (tasks, released) = (Tasks::new(), Released::default());
    let acquire_all = async {
        let _one = released.acquire(&tasks, "one").await;
        let fails = async { Err::<(), _>("no disk") };
        tasks.acquire("two", fails, async |()| Ok(())).await?;
        Ok::<_, BoxError>(())
    };
    assert_eq!(acquire_all.await.unwrap_err().to_string(), "no disk");
    sleep(SECOND * 2).await;
    released.is(&["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_hides_no_error_of_its_holder() {
    let tasks = Tasks::new();
    let acquire = async { Ok::<_, BoxError>(()) };
    let fails = async |()| Err("no release".into());
    let holder = async {
        let _held = tasks.acquire("a", acquire, fails).await?;
        Err::<(), BoxError>("no disk".into())
    };
    assert_eq!(holder.await.unwrap_err().to_string(), "no disk");
    sleep(SECOND).await;
    let outcome = tasks.last_outcome("a #1").unwrap();
    assert_eq!(outcome.to_string(), "failed: no release");
}
