use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{BoxError, StartError, Tasks};

/// A time that is not zero, after which something is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// A period of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPeriod(&'static str);

impl Period {
    /// Every so long.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn new(every: Duration) -> Result<Self, InvalidPeriod> {
        if every.is_zero() {
            return Err(InvalidPeriod("a period must not be zero"));
        }
        Ok(Self(every))
    }

    /// How long it is.
    #[must_use]
    pub const fn every(&self) -> Duration {
        self.0
    }
}

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
    /// Outside of a tokio runtime.
    pub fn start_periodic<R, F>(
        &self,
        name: impl Into<Arc<str>>,
        period: Period,
        mut run: R,
    ) -> Result<(), StartError>
    where
        R: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.start(name, async move |stopping| {
            let mut ticks = interval(period.every());
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

impl fmt::Display for InvalidPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidPeriod {}
