//! Our own rows.

use std::{
    iter::repeat,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mainstay_tasks::{LocalGroup, Outcome, Restart, Supervision, TaskGroup, Tasks};

use super::{TOGETHER, member, row};
use crate::group::{Role::Ours, Row};

/// Longer than any task needs.
const GRACE: Duration = Duration::from_secs(5);

/// A name for each caller.
struct Name(Arc<str>);

impl Name {
    fn new() -> Self {
        static GIVEN: AtomicU64 = AtomicU64::new(0);
        let number = GIVEN.fetch_add(1, Ordering::Relaxed);
        Self(format!("task {number}").into())
    }

    /// A method, so that closures capture all of it, and with it how it is cloned.
    fn get(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl Clone for Name {
    fn clone(&self) -> Self {
        Self::new()
    }
}

pub(super) fn finishing() -> Vec<Row> {
    vec![
        row("mainstay", Ours, || {
            let (tasks, name) = (Tasks::new(), Name::new());
            move |_| {
                let (tasks, name) = (tasks.clone(), name.get());
                async move {
                    tasks.start(name.clone(), async |_| Ok(())).map_err(drop)?;
                    has_ended(&tasks, &name).await
                }
            }
        }),
        row("mainstay, supervised", Ours, || {
            let (tasks, name) = (Tasks::new(), Name::new());
            move |_| {
                let (tasks, name) = (tasks.clone(), name.get());
                async move {
                    let supervision = Supervision::new(Restart::OnFailure, || repeat(GRACE));
                    let started =
                        tasks.start_supervised(name.clone(), supervision, async |_| Ok(()));
                    started.map_err(drop)?;
                    has_ended(&tasks, &name).await
                }
            }
        }),
    ]
}

/// As it should.
async fn has_ended(tasks: &Tasks, name: &str) -> Result<(), ()> {
    match tasks.wait(name).await {
        // Or it had already.
        Ok(Outcome::Completed) | Err(_) => Ok(()),
        Ok(_) => Err(()),
    }
}

pub(super) fn stopping() -> Vec<Row> {
    vec![row("mainstay", Ours, || {
        let (tasks, name) = (Tasks::new(), Name::new());
        move |_| {
            let (tasks, name) = (tasks.clone(), name.get());
            async move {
                let body = async |stopping: tokio_util::sync::CancellationToken| {
                    stopping.cancelled().await;
                    Ok(())
                };
                tasks.start(name.clone(), body).map_err(drop)?;
                match tasks.stop(&name, GRACE).await {
                    Ok(Outcome::Completed) => Ok(()),
                    _ => Err(()),
                }
            }
        }
    })]
}

pub(super) fn groups() -> Vec<Row> {
    vec![
        row("mainstay, TaskGroup", Ours, || {
            |_| async {
                let mut group = TaskGroup::new();
                for n in 0..TOGETHER {
                    group.spawn(member(n));
                }
                group.join().await
            }
        }),
        row("mainstay, LocalGroup", Ours, || {
            |_| async {
                let mut group = LocalGroup::new();
                for n in 0..TOGETHER {
                    group.add(member(n));
                }
                group.await
            }
        }),
    ]
}
