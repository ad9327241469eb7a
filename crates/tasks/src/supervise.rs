use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ending::Task;
use crate::outcome::Outcome;
use crate::run::{Caught, catching, outcome_of};
use crate::supervision::{Next, Restarts, Supervision};
use crate::sync::sleep;
use crate::{BoxError, Tasks};

/// The body of a task that is run again when it ends.
pub(crate) async fn supervise<B, I, M, F>(
    tasks: Tasks,
    task: Task,
    supervision: Supervision<B>,
    mut make: M,
    stopping: CancellationToken,
) -> Outcome
where
    B: Fn() -> I + Send + 'static,
    I: Iterator<Item = Duration> + Send + 'static,
    M: FnMut(CancellationToken) -> F + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let mut restarts = Restarts::new(supervision);
    loop {
        let begun = Instant::now();
        let outcome = match catching(|| make(stopping.clone())) {
            Ok(run) => Caught::new(async move { outcome_of(run.await) }).await,
            Err(panicked) => panicked,
        };
        if stopping.is_cancelled() {
            return outcome;
        }
        let delay = match restarts.after(&outcome, begun, Instant::now()) {
            Next::End => return outcome,
            Next::Restart { delay } => delay,
            Next::GiveUp => {
                return Outcome::GivenUp {
                    restarts: restarts.count(),
                    last: Box::new(outcome),
                };
            }
        };
        match &outcome {
            Outcome::Completed => tracing::debug!(task = %task.name, ?delay, "task restarts"),
            _ => tracing::warn!(task = %task.name, %outcome, ?delay, "task restarts"),
        }
        let before = tasks.lock().waits(&task, outcome.clone());
        drop(before);
        let slept = stopping.run_until_cancelled(sleep(delay)).await;
        if slept.is_none() {
            return outcome;
        }
        tasks.lock().restarts(&task);
    }
}
