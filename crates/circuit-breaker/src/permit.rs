use std::{fmt, thread};

use tokio::time::Instant;

use crate::{Circuit, Verdict, machine::Pass};

/// The right to make one call, from [`Circuit::admit`]: settle it when the call has ended.
///
/// Dropped without an outcome, it gives its probe back and counts for nothing; but if a rule looks for
/// slow calls and this one was slow already, or if the thread panics, it is a failure. Its outcome
/// decides nothing if the circuit has changed its state meanwhile.
#[must_use = "a permit that is dropped says that its call was given up"]
pub struct Permit {
    circuit: Circuit,
    /// Absent once it is settled.
    pass: Option<Pass>,
    /// Present if a rule looks for slow calls.
    started: Option<Instant>,
}

impl Permit {
    pub(crate) const fn new(circuit: Circuit, pass: Pass, started: Option<Instant>) -> Self {
        Self {
            circuit,
            pass: Some(pass),
            started,
        }
    }

    /// Counts the outcome of the call.
    pub fn settle(mut self, verdict: impl Into<Verdict>) {
        self.settle_once(verdict.into());
    }

    /// As if by dropping it, but whether the thread panics does not matter.
    pub(crate) fn give_up(mut self) {
        let verdict = self.circuit.verdict_on_dropped(self.started);
        self.settle_once(verdict);
    }

    fn settle_once(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.circuit.settle(pass, verdict, self.started);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.pass.is_none() {
            return;
        }
        let verdict = if thread::panicking() {
            Verdict::failure()
        } else {
            self.circuit.verdict_on_dropped(self.started)
        };
        self.settle_once(verdict);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
