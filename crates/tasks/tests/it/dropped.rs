//! Futures that are dropped after every number of polls.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mainstay_tasks::{BoxError, Phase, Shutdown, TaskGroup, Tasks};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_stop_ends_its_task_however_far_it_came() {
    for polls in 0.. {
        let (tasks, held) = (tasks(), Arc::new(()));
        tasks.start("a", stubborn(&held)).unwrap();
        let is_complete = drop_after(polls, tasks.stop("a", SECOND)).await;
        sleep(SECOND * 2).await;
        if polls == 0 {
            assert_eq!(Arc::strong_count(&held), 2, "not polled is not begun");
        } else {
            assert_eq!(Arc::strong_count(&held), 1);
            assert_eq!(names(&tasks), ["other"]);
        }
        if is_complete {
            assert!(polls > 1);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replace_leaves_one_of_the_two_or_none() {
    for polls in 0.. {
        let (tasks, old, new) = (tasks(), Arc::new(()), Arc::new(()));
        tasks.start("a", stubborn(&old)).unwrap();
        let replace = tasks.replace("a", SECOND, stubborn(&new));
        let is_complete = drop_after(polls, replace).await;
        sleep(SECOND * 2).await;
        assert_eq!(Arc::strong_count(&old) == 2, polls == 0);
        assert_eq!(Arc::strong_count(&new) == 2, is_complete);
        let has_a = names(&tasks).contains(&"a".to_owned());
        assert_eq!(has_a, polls == 0 || is_complete);

        tasks.shutdown(Duration::ZERO, SECOND).await;
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 1));
        if is_complete {
            assert!(polls > 1);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_of_tasks_ends_them_however_far_it_came() {
    for polls in 0.. {
        let (tasks, held) = (tasks(), Arc::new(()));
        for name in ["a", "b"] {
            tasks.start(name, stubborn(&held)).unwrap();
        }
        let is_complete = drop_after(polls, tasks.shutdown(SECOND, SECOND)).await;
        sleep(SECOND * 2).await;
        assert_eq!(names(&tasks).is_empty(), polls > 0);
        assert_eq!(Arc::strong_count(&held) == 1, polls > 0);
        if is_complete {
            assert!(polls > 1);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_leaves_nobody_however_far_it_came() {
    for polls in 0.. {
        let held = Arc::new(());
        let mut group = TaskGroup::<(), &str>::new();
        for seconds in 1..4 {
            let held = held.clone();
            group.spawn(async move {
                sleep(SECOND * seconds).await;
                drop(held);
                if seconds == 3 { Err("no disk") } else { Ok(()) }
            });
        }
        let theirs = held.clone();
        group.spawn(async move {
            let _held = theirs;
            pending().await
        });
        let is_complete = drop_after(polls, group.join()).await;
        // It is aborted, and gone when its runtime comes to it.
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
        if is_complete {
            assert!(polls > 1);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_run_again_goes_on() {
    for polls in 0.. {
        let (shutdown, held) = (Shutdown::new(), Arc::new(()));
        for phase in Phase::ALL {
            let (cooperative, shutdown) = (cooperative(&held), shutdown.clone());
            shutdown.at(phase).start("a", cooperative).unwrap();
            let shutdown = shutdown.with_limit(phase, SECOND * 2);
            shutdown.at(phase).start("b", stubborn(&held)).unwrap();
        }
        let work = shutdown.work();
        tokio::spawn(async move { work.overdue().await });
        shutdown.begin();
        let is_complete = drop_after(polls, shutdown.run()).await;
        let report = shutdown.run().await;
        assert_eq!(report.phases.len(), Phase::ALL.len());
        assert!(report.phases.iter().all(|it| it.tasks.hung.is_empty()));
        assert_eq!(Arc::strong_count(&held), 1);
        for phase in Phase::ALL {
            assert!(shutdown.at(phase).list().is_empty());
        }
        if is_complete {
            assert!(polls > Phase::ALL.len());
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_acquired_is_released_however_far_its_holder_came() {
    for polls in 0.. {
        let (tasks, held) = (tasks(), Arc::new(()));
        let acquire = async {
            sleep(SECOND).await;
            Ok::<_, BoxError>(held.clone())
        };
        let release = async |held| {
            sleep(SECOND).await;
            drop(held);
            Ok(())
        };
        let holder = async {
            let resource = tasks.acquire("a", acquire, release).await.unwrap(); // nothing refuses it
            sleep(SECOND).await;
            resource.release().await;
        };
        let is_complete = drop_after(polls, holder).await;
        sleep(SECOND * 2).await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(names(&tasks), ["other"]);
        if is_complete {
            assert!(polls > 2);
            return;
        }
    }
}

/// Polls a future as often as this, and drops it. Whether it has completed before.
async fn drop_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// One that nobody stops is to be left alone.
fn tasks() -> Tasks {
    let tasks = Tasks::new();
    tasks.start("other", |_| pending()).unwrap(); // nothing has this name
    tasks
}

fn names(tasks: &Tasks) -> Vec<String> {
    tasks
        .list()
        .into_iter()
        .map(|it| it.name.to_string())
        .collect()
}

type Body = Box<
    dyn FnOnce(CancellationToken) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>
        + Send,
>;

/// Ends only if it is aborted.
fn stubborn(held: &Arc<()>) -> Body {
    let held = held.clone();
    Box::new(move |_| {
        Box::pin(async move {
            let _held = held;
            pending().await
        })
    })
}

/// Ends a second after it is asked to.
fn cooperative(held: &Arc<()>) -> Body {
    let held = held.clone();
    Box::new(move |stopping| {
        Box::pin(async move {
            let _held = held;
            stopping.cancelled().await;
            sleep(SECOND).await;
            Ok(())
        })
    })
}
