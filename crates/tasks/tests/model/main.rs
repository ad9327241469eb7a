//! Start, stop, replace and shutdown of tasks of one name, and the wakers of a group, racing under shuttle.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/ending.rs"]
mod ending;
#[path = "../../src/local_group.rs"]
mod local_group;
#[path = "../../src/outcome.rs"]
mod outcome;
#[path = "../../src/registry.rs"]
mod registry;
#[path = "../../src/run.rs"]
mod run;
#[path = "../../src/supervise.rs"]
mod supervise;
#[path = "../../src/supervision.rs"]
mod supervision;
mod sync;
#[path = "../../src/tasks.rs"]
mod tasks;

use std::future::pending;
use std::iter::repeat;
use std::sync::Arc;
use std::time::Duration;

use local_group::LocalGroup;
use outcome::{Outcome, StartError};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use supervision::{Restart, Supervision};
use tasks::Tasks;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const ITERATIONS: usize = 3_000;

/// A grace that is over at any time.
const SHORT: Duration = Duration::ZERO;
/// A time that does not pass.
const LONG: Duration = Duration::from_secs(1_000_000);

#[test]
fn of_two_that_are_started_at_once_one_is_refused() {
    check(async |model| {
        let other = model.spawn(async |model| model.start());
        let one = model.start();
        let other = other.await.unwrap();
        let refused = Err(StartError::Running("a".into()));
        assert!((one.is_ok() && other == refused) || (one == refused && other.is_ok()));
    });
}

#[test]
fn a_name_that_is_free_again_is_free_of_its_task() {
    check(async |model| {
        model.start().unwrap();
        let stopping = model.spawn(async |model| model.stop().await);
        while model.start().is_err() {
            yield_now().await;
        }
        assert!(stopping.await.unwrap().is_some());
    });
}

#[test]
fn of_those_that_replace_each_other_the_last_is_alive() {
    check(async |model| {
        model.start().unwrap();
        let one = model.spawn(async |model| model.replace().await);
        let two = model.spawn(async |model| model.replace().await);
        one.await.unwrap().unwrap();
        two.await.unwrap().unwrap();
        assert_eq!(model.tasks.list().len(), 1);
    });
}

#[test]
fn what_is_started_stopped_and_replaced_at_once_is_never_there_twice() {
    check(async |model| {
        let replacing = model.spawn(async |model| model.replace().await);
        let stopping = model.spawn(async |model| model.stop().await);
        let starting = model.spawn(async |model| model.start());
        replacing.await.unwrap().unwrap();
        stopping.await.unwrap();
        let _ = starting.await.unwrap();
        assert!(model.tasks.list().len() <= 1);
    });
}

#[test]
fn one_that_replaces_and_is_dropped_leaves_one_or_none() {
    check(async |model| {
        model.start().unwrap();
        let dropped = model.spawn(async |model| model.replace().await);
        let replacing = model.spawn(async |model| model.replace().await);
        dropped.abort();
        let _ = dropped.await;
        replacing.await.unwrap().unwrap();
        assert!(model.tasks.list().len() <= 1);
    });
}

#[test]
fn a_stop_that_is_dropped_ends_its_task_or_was_not_begun() {
    check(async |model| {
        model.start().unwrap();
        let dropped = model.spawn(async |model| model.stop().await);
        dropped.abort();
        let _ = dropped.await;
        if let [status] = &*model.tasks.list()
            && status.state == outcome::State::Stopping
        {
            while !model.tasks.list().is_empty() {
                yield_now().await;
            }
        }
    });
}

#[test]
fn what_is_started_while_all_are_shut_down_is_refused_or_ends() {
    check(async |model| {
        model.start().unwrap();
        let starting = model.spawn(async |model| {
            let _ = model.tasks.start("b", model.body());
        });
        let replacing = model.spawn(async |model| model.replace().await);
        model.end().await;
        starting.await.unwrap();
        if let Err(refused) = replacing.await.unwrap() {
            assert_eq!(refused, StartError::ShutDown("a".into()));
        }
        assert!(model.tasks.list().is_empty());
    });
}

#[test]
fn a_supervised_task_that_is_stopped_is_not_run_again() {
    check(async |model| {
        let supervision = Supervision::new(Restart::Always, || repeat(SHORT));
        let (held, alive) = (model.held.clone(), model.alive.clone());
        let make = move |_| {
            let (held, alive) = (held.clone(), alive.clone());
            async move {
                let _alive = Alive::new(&alive);
                yield_now().await;
                drop(held);
                Ok(())
            }
        };
        let started = model.tasks.start_supervised("a", supervision, make);
        started.unwrap();
        yield_now().await;
        model.tasks.stop("a", LONG).await.unwrap();
        assert!(model.tasks.list().is_empty());
        assert_eq!(model.alive.load(SeqCst), 0);
        model.replace().await.unwrap();
    });
}

#[test]
fn a_group_hears_of_all_who_wake_its_members() {
    shuttle::check_random(
        || {
            let mut group = LocalGroup::new();
            for _ in 0..3 {
                let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
                let (one, two) = (first.clone(), second.clone());
                shuttle::thread::spawn(move || {
                    first.notify_one();
                    second.notify_one();
                });
                group.add(async move {
                    one.notified().await;
                    two.notified().await;
                    Ok::<_, BoxError>(())
                });
            }
            assert_eq!(block_on(group).unwrap().len(), 3);
        },
        ITERATIONS,
    );
}

/// Runs this, then ends all tasks, and looks for what is left.
fn check(scenario: impl AsyncFn(&Model) + Send + Sync + 'static) {
    shuttle::check_random(
        move || {
            block_on(async {
                let model = Model::new();
                scenario(&model).await;
                model.end().await;
                assert!(model.tasks.list().is_empty());
                assert_eq!(Arc::strong_count(&model.held), 1, "a task is an orphan");
            });
        },
        ITERATIONS,
    );
}

#[derive(Clone)]
struct Model {
    tasks: Tasks,
    /// By each task, from before it is spawned until it is gone.
    held: Arc<()>,
    /// How many tasks of the one name run. The scheduler may switch before each access.
    alive: Arc<AtomicUsize>,
}

impl Model {
    fn new() -> Self {
        Self {
            tasks: Tasks::default(),
            held: Arc::new(()),
            alive: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn spawn<T, F>(&self, f: impl FnOnce(Self) -> F) -> JoinHandle<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        spawn(f(self.clone()))
    }

    fn start(&self) -> Result<(), StartError> {
        self.tasks.start("a", self.counted())
    }

    async fn replace(&self) -> Result<(), StartError> {
        self.tasks.replace("a", SHORT, self.counted()).await
    }

    async fn stop(&self) -> Option<Outcome> {
        self.tasks.stop("a", SHORT).await.ok()
    }

    /// Only those that are started when it has begun.
    async fn end(&self) {
        let report = self.tasks.shutdown(SHORT, LONG).await;
        assert!(report.hung.is_empty());
    }

    fn counted(&self) -> Body {
        let (body, alive) = (self.body(), self.alive.clone());
        Box::new(move |stopping| {
            Box::pin(async move {
                let _alive = Alive::new(&alive);
                body(stopping).await
            })
        })
    }

    /// Stops when it is asked to, or when it is aborted: the scheduler decides which comes first.
    fn body(&self) -> Body {
        let held = self.held.clone();
        Box::new(move |stopping| {
            Box::pin(async move {
                let _held = held;
                stopping.cancelled().await;
                if shuttle::rand::thread_rng().r#gen() {
                    pending::<()>().await;
                }
                Ok(())
            })
        })
    }
}

type Body = Box<
    dyn FnOnce(
            CancellationToken,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>
        + Send,
>;

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
