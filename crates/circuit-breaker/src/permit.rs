use std::{fmt, thread};

use tokio::time::Instant;

use crate::{Verdict, memory::Shared, pass::Pass};

/// The right to make one call, from [`Circuit::admit`](crate::Circuit::admit): settle it when the call has ended.
///
/// Dropped without an outcome, it gives its probe back and counts for nothing; but if a rule looks for
/// slow calls and this one was slow already, or if the thread panics, it is a failure. Its outcome
/// decides nothing if the circuit has changed its state meanwhile.
#[must_use = "a permit that is dropped says that its call was given up"]
pub struct Permit {
    shared: &'static Shared,
    /// Absent once it is settled.
    pass: Option<Pass>,
    /// Present if a rule looks for slow calls.
    started: Option<Instant>,
}

impl Permit {
    #[inline]
    pub(crate) fn new(shared: &'static Shared, pass: Pass) -> Self {
        Self {
            shared,
            pass: Some(pass),
            started: shared.gate.slow_from().map(|_| Instant::now()),
        }
    }

    /// Counts the outcome of the call.
    #[inline]
    pub fn settle(mut self, verdict: impl Into<Verdict>) {
        self.settle_once(verdict.into());
    }

    /// As if by dropping it, but whether the thread panics does not matter.
    pub(crate) fn give_up(mut self) {
        self.settle_once(self.verdict_on_dropped());
    }

    /// The verdict on a call that was given up: it was a slow one, or nobody knows.
    fn verdict_on_dropped(&self) -> Verdict {
        match (self.started, self.shared.gate.slow_from()) {
            (Some(started), Some(slow_from)) if started.elapsed() >= slow_from => {
                Verdict::failure()
            }
            _ => Verdict::Ignore,
        }
    }

    #[cold]
    fn drop_unsettled(&mut self) {
        let verdict = if thread::panicking() {
            Verdict::failure()
        } else {
            self.verdict_on_dropped()
        };
        self.settle_once(verdict);
    }

    #[inline]
    fn settle_once(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.shared.settle(pass, verdict, self.started);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.pass.is_some() {
            self.drop_unsettled();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
