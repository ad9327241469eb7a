use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{BoxError, StartError, Tasks};

impl Tasks {
    /// Starts a task that calls `run` at once and then every `period`, until it is to stop or a run
    /// fails. Runs never overlap. However many fall due during a long one, one is made right after it,
    /// the others are skipped, and the next is at a multiple of the period from the start again. A run
    /// is not interrupted until the grace of its stop is over.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// If the period is zero, and outside of a tokio runtime.
    pub fn start_periodic<R, F>(
        &self,
        name: impl Into<std::sync::Arc<str>>,
        period: Duration,
        mut run: R,
    ) -> Result<(), StartError>
    where
        R: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        assert!(!period.is_zero(), "a period is longer than zero");
        self.start(name, async move |stopping| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                let tick = stopping.run_until_cancelled(ticks.tick());
                if tick.await.is_none() {
                    return Ok(());
                }
                run().await?;
            }
        })
    }
}
