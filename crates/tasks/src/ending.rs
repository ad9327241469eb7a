use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Tasks;
use crate::outcome::{Ended, Outcome, Report};
use crate::sync::{spawn, timeout_at};

/// A task that was started: this one, and no later one of its name.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) name: Arc<str>,
    pub(crate) end: watch::Receiver<Option<Outcome>>,
}

/// Tasks that were asked to stop together.
#[derive(Clone)]
pub(crate) struct Ending {
    tasks: Tasks,
    asked: Vec<Task>,
}

/// The time after this one. What is further away than the clock reaches is a century away.
pub(crate) fn deadline(begun: Instant, after: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    begun.checked_add(after).unwrap_or(begun + CENTURY)
}

impl Task {
    pub(crate) async fn ended(&mut self) -> Outcome {
        // The sender sends before it is dropped; without it the task is gone all the same.
        match self.end.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Aborted),
            Err(_) => Outcome::Aborted,
        }
    }
}

impl Ending {
    /// Aborts those that are alive at the deadline, or when it is `forced`. This does not depend on the one
    /// who asked them to stop, who may be cancelled, or not polled.
    pub(crate) fn new(
        tasks: &Tasks,
        asked: Vec<Task>,
        deadline: Instant,
        forced: &CancellationToken,
    ) -> Self {
        let ending = Self {
            tasks: tasks.clone(),
            asked,
        };
        let (mut aborting, forced) = (ending.clone(), forced.clone());
        spawn(async move { aborting.abort_after(deadline, &forced).await });
        ending
    }

    /// As what was spawned does, in the task of the caller: it may be that no other is run any more, because
    /// those that are asked to stop block their threads.
    pub(crate) async fn abort_after(&mut self, deadline: Instant, forced: &CancellationToken) {
        let ended = async {
            for asked in &mut self.asked {
                asked.ended().await;
            }
        };
        let ended = timeout_at(deadline, ended);
        if !matches!(forced.run_until_cancelled(ended).await, Some(Ok(()))) {
            for asked in &self.asked {
                self.tasks.abort(asked);
            }
        }
    }

    /// What has become of them at the deadline, or when all have ended.
    pub(crate) async fn report(self, deadline: Instant) -> Report {
        let mut report = Report::default();
        for mut asked in self.asked {
            let outcome = timeout_at(deadline, asked.ended()).await;
            let name = asked.name;
            match outcome {
                Ok(Outcome::Aborted) => report.aborted.push(name),
                Ok(outcome) => report.finished.push(Ended { name, outcome }),
                Err(_) => report.hung.push(name),
            }
        }
        report
    }
}
