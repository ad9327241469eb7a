//! Tasks that are started, and ended or stopped, alone and in groups.

mod ours;
#[cfg(feature = "peers")]
mod peers;

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    task::yield_now,
};

use crate::{
    group::{Group, Role, Row, Scenario, Setting},
    work::{Caller, Function},
};

/// How many are in a group.
const TOGETHER: u64 = 8;

/// A thread that is a runtime by itself, and two workers that share one state.
const SETTINGS: &[Setting] = &[
    Setting::Threads(1),
    Setting::Tasks {
        tasks: 64,
        workers: 2,
    },
];

pub(super) fn group() -> Group {
    Group {
        name: "tasks",
        title: "Tasks",
        crates: &["mainstay-tasks", "tokio", "tokio-util", "futures-util"],
        scenarios: vec![
            Scenario {
                name: "start and finish",
                about: "A task is started that has nothing to do, and its end is waited for. Ours has a name that no other \
                    has, is listed, and its outcome is remembered.",
                fails_one_in: 0,
                settings: SETTINGS,
                rows: finishing(),
            },
            Scenario {
                name: "start and stop",
                about: "A task is started that waits to be told to end, is told so, and its end is waited for. Ours would be \
                    aborted after a grace, which is a second task with a timer.",
                fails_one_in: 0,
                settings: SETTINGS,
                rows: stopping(),
            },
            Scenario {
                name: "group of 8",
                about: "Eight tasks yield once each, and their results are waited for in order. A LocalGroup and try_join_all do not \
                    spawn.",
                fails_one_in: 0,
                settings: SETTINGS,
                rows: groups(),
            },
        ],
    }
}

fn finishing() -> Vec<Row> {
    let mut rows = vec![row("bare spawn", Role::Floor, || {
        |_| async { tokio::spawn(async {}).await }
    })];
    rows.extend(ours::finishing());
    #[cfg(feature = "peers")]
    rows.extend(peers::finishing());
    rows
}

fn stopping() -> Vec<Row> {
    let mut rows = vec![row("bare spawn and Notify", Role::Floor, || {
        |_| async {
            let stop = Arc::new(Notify::new());
            let stopped = stop.clone();
            let task = tokio::spawn(async move { stopped.notified().await });
            stop.notify_one();
            task.await
        }
    })];
    rows.extend(ours::stopping());
    #[cfg(feature = "peers")]
    rows.extend(peers::stopping());
    rows
}

fn groups() -> Vec<Row> {
    let mut rows = vec![row("bare spawns", Role::Floor, || {
        |_| async {
            let tasks: Vec<_> = (0..TOGETHER).map(|n| tokio::spawn(member(n))).collect();
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await.map_err(drop)??);
            }
            Ok::<_, ()>(results)
        }
    })];
    rows.extend(ours::groups());
    #[cfg(feature = "peers")]
    rows.extend(peers::groups());
    rows
}

/// One of a group.
async fn member(n: u64) -> Result<u64, ()> {
    yield_now().await;
    Ok(n)
}

fn row<C, F, T, E>(name: &'static str, role: Role, make: impl Fn() -> C + 'static) -> Row
where
    C: FnMut(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, E>> + Send,
{
    Row::new(name, role, move || OnRuntime {
        caller: Function(make()),
        runtime: Arc::new(runtime()),
    })
}

fn runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().build();
    runtime.expect("it needs nothing of the system")
}

/// Makes its calls on a runtime in the thread that calls, so that whatever they spawn is counted.
#[derive(Clone)]
struct OnRuntime<C> {
    caller: C,
    runtime: Arc<Runtime>,
}

impl<C: Caller> Caller for OnRuntime<C> {
    fn run(&mut self, calls: u64) -> u64 {
        self.runtime.block_on(self.caller.task(calls))
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        self.caller.task(calls)
    }
}
