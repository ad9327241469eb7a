use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use mainstay_tasks::{Outcome, StartError, State, Tasks};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_reported_and_its_name_is_free() {
    let tasks = Tasks::new();
    tasks.start("a", async |_| Err("no disk".into())).unwrap();
    sleep(GRACE).await;
    assert_eq!(
        tasks.last_outcome("a").unwrap().to_string(),
        "failed: no disk"
    );
    assert!(tasks.stop("a", GRACE).await.is_err());
    tasks.start("a", async |_| Ok(())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panicked_task_is_reported_and_its_name_is_free() {
    let tasks = Tasks::new();
    tasks.start("a", async |_| panic!("at the disk")).unwrap();
    sleep(GRACE).await;
    assert_eq!(
        tasks.last_outcome("a").unwrap().to_string(),
        "panicked: at the disk"
    );
    tasks.start("a", async |_| Ok(())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_its_cancellation_is_aborted_after_the_grace() {
    let tasks = Tasks::new();
    tasks.start("a", |_| pending()).unwrap();
    let start = Instant::now();
    assert!(matches!(tasks.stop("a", GRACE).await, Ok(Outcome::Aborted)));
    assert_eq!(start.elapsed(), GRACE);
    assert!(tasks.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_dropped_leaves_the_task_listed_and_can_be_repeated() {
    let tasks = Tasks::new();
    tasks.start("a", |_| pending()).unwrap();
    assert_eq!(tasks.list()[0].state, State::Running);
    let stop = tasks.stop("a", GRACE);
    assert!(tokio::time::timeout(GRACE / 2, stop).await.is_err());
    assert_eq!(tasks.list()[0].state, State::Stopping);
    assert_eq!(tasks.list()[0].age, GRACE / 2);
    assert!(matches!(tasks.stop("a", GRACE).await, Ok(Outcome::Aborted)));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_aborted_after_the_grace_of_a_stop_that_was_dropped() {
    let tasks = Tasks::new();
    tasks.start("a", |_| pending()).unwrap();
    let stop = tasks.stop("a", GRACE);
    assert!(tokio::time::timeout(GRACE / 2, stop).await.is_err());
    sleep(GRACE).await;
    assert!(matches!(tasks.last_outcome("a"), Some(Outcome::Aborted)));
    assert!(tasks.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tasks_are_aborted_after_the_grace_of_a_shutdown_that_was_dropped() {
    let tasks = Tasks::new();
    for name in ["a", "b"] {
        tasks.start(name, |_| pending()).unwrap();
    }
    let shutdown = tasks.shutdown(GRACE, GRACE);
    assert!(tokio::time::timeout(GRACE / 2, shutdown).await.is_err());
    sleep(GRACE).await;
    assert!(tasks.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_two_stops_of_one_task_the_shorter_grace_counts() {
    let tasks = Tasks::new();
    tasks.start("a", |_| pending()).unwrap();
    let start = Instant::now();
    let (one, two) = tokio::join!(tasks.stop("a", GRACE * 2), tasks.stop("a", GRACE));
    assert!(matches!(
        (one, two),
        (Ok(Outcome::Aborted), Ok(Outcome::Aborted))
    ));
    assert_eq!(start.elapsed(), GRACE);
}

#[tokio::test(start_paused = true)]
async fn one_stubborn_task_does_not_keep_a_shutdown_from_the_others() {
    let tasks = Tasks::new();
    for name in ["a", "c"] {
        tasks
            .start(name, async |stopping| {
                stopping.cancelled().await;
                Ok(())
            })
            .unwrap();
    }
    for name in ["b", "d"] {
        tasks.start(name, |_| pending()).unwrap();
    }
    let start = Instant::now();
    let mut report = tasks.shutdown(GRACE, GRACE).await;
    assert_eq!(start.elapsed(), GRACE);
    report.aborted.sort();
    assert_eq!(report.aborted, ["b".into(), "d".into()]);
    assert_eq!(report.finished.len(), 2);
    assert!(report.hung.is_empty());
    let refused = tasks.start("e", async |_| Ok(()));
    assert_eq!(refused, Err(StartError::ShutDown("e".into())));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_that_ended_leave_nothing_listed() {
    let tasks = Tasks::new();
    for n in 0..10_000 {
        tasks.start(n.to_string(), async |_| Ok(())).unwrap();
    }
    sleep(GRACE).await;
    assert!(tasks.list().is_empty());
    assert!(tasks.last_outcome("9999").is_some());
    assert!(tasks.last_outcome("0").is_none());
}

#[tokio::test(start_paused = true)]
async fn as_many_are_remembered_as_is_said() {
    let tasks = Tasks::new();
    let run = async |names: &[&'static str]| {
        for name in names {
            tasks.start(*name, async |_| Ok(())).unwrap();
            sleep(GRACE).await;
        }
        let history = tasks.history();
        history.iter().map(|it| it.name.to_string()).collect()
    };
    let names: Vec<String> = run(&["a", "b", "c"]).await;
    assert_eq!(names, ["a", "b", "c"]);

    let _ = tasks.clone().with_history(2);
    let names: Vec<String> = run(&[]).await;
    assert_eq!(names, ["b", "c"]);
    let names: Vec<String> = run(&["d", "e", "f"]).await;
    assert_eq!(names, ["e", "f"]);
    assert!(tasks.last_outcome("d").is_none() && tasks.last_outcome("e").is_some());

    let _ = tasks.clone().with_history(0);
    let names: Vec<String> = run(&["a"]).await;
    assert!(names.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hung_is_waited_for_by_a_shutdown_that_is_repeated() {
    let tasks = Tasks::new();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let body = async move |_| {
        let _ = begun.send(());
        let _ = blocked.recv();
        pending().await
    };
    tasks.start("a", body).unwrap();
    has_begun.await.unwrap();
    let report = tasks.shutdown(Duration::ZERO, Duration::ZERO).await;
    assert_eq!(report.hung, ["a".into()]);
    assert_eq!(tasks.list()[0].state, State::Stopping);
    drop(release);
    // In this report, too, unless it has ended already.
    let report = tasks.shutdown(GRACE, GRACE).await;
    assert!(report.hung.is_empty());
    assert!(matches!(tasks.last_outcome("a"), Some(Outcome::Aborted)));
    assert!(tasks.list().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_that_are_started_at_once_one_is_alive() {
    let (tasks, count) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let starting: Vec<_> = (0..64)
        .map(|_| {
            let (tasks, count) = (tasks.clone(), count.clone());
            tokio::spawn(async move {
                let body = async move |_| {
                    let _alive = Alive::new(&count);
                    pending().await
                };
                tasks.start("a", body).is_ok()
            })
        })
        .collect();
    let mut started = 0;
    for starting in starting {
        started += usize::from(starting.await.unwrap());
    }
    assert_eq!(started, 1);
    tasks.shutdown(Duration::ZERO, GRACE).await;
    assert_eq!(count.load(SeqCst), 0);
}

#[test]
fn a_start_outside_of_a_runtime_panics_and_leaves_the_name_free() {
    let tasks = Tasks::new();
    let start = || tasks.start("a", async |_| Ok(()));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(start)).is_err());
    assert!(tasks.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_replaces_itself_ends_without_a_successor() {
    let tasks = Tasks::new();
    let itself = tasks.clone();
    let body = async move |_| {
        let replaced = itself.replace("a", GRACE, async |_| Ok(())).await;
        replaced.map_err(Into::into)
    };
    tasks.start("a", body).unwrap();
    sleep(GRACE * 2).await;
    assert!(tasks.list().is_empty());
    assert!(matches!(tasks.last_outcome("a"), Some(Outcome::Aborted)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_task_leaves_it_alone_and_hears_how_it_ended() {
    let tasks = Tasks::new();
    assert!(tasks.wait("a").await.is_err());
    let body = async |_| {
        sleep(GRACE).await;
        Err("no disk".into())
    };
    tasks.start("a", body).unwrap();
    let start = Instant::now();
    let (one, two) = tokio::join!(tasks.wait("a"), tasks.wait("a"));
    assert_eq!(one.unwrap().to_string(), "failed: no disk");
    assert_eq!(two.unwrap().to_string(), "failed: no disk");
    assert_eq!(start.elapsed(), GRACE);
}

/// Counts itself while it is alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        assert_eq!(count.fetch_add(1, SeqCst), 0, "two are alive");
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_tasks_that_replace_each_other_at_once_one_is_alive() {
    let (tasks, count) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let replacing: Vec<_> = (0..64)
        .map(|_| {
            let (tasks, count) = (tasks.clone(), count.clone());
            tokio::spawn(async move {
                let body = async move |_| {
                    let _alive = Alive::new(&count);
                    pending().await
                };
                tasks.replace("a", Duration::ZERO, body).await
            })
        })
        .collect();
    for replaced in replacing {
        replaced.await.unwrap().unwrap();
    }
    assert_eq!(tasks.list().len(), 1);
    assert!(matches!(
        tasks.stop("a", Duration::ZERO).await,
        Ok(Outcome::Aborted)
    ));
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_grace_is_as_good_as_any() {
    let tasks = Tasks::new();
    let body = async |stopping: CancellationToken| {
        stopping.cancelled().await;
        Ok(())
    };
    tasks.start("a", body).unwrap();
    let outcome = tasks.stop("a", Duration::MAX).await;
    assert!(matches!(outcome, Ok(Outcome::Completed)));
    tasks.start("a", body).unwrap();
    let report = tasks.shutdown(Duration::MAX, Duration::MAX).await;
    assert_eq!(report.finished.len(), 1);
}
