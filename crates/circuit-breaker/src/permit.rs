use std::{fmt, thread};

use crate::{
    Verdict,
    clock::{Clock, Tick},
    memory::Shared,
    pass::Pass,
};

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
    started: Option<Tick>,
}

impl Permit {
    #[inline]
    pub(crate) fn new(shared: &'static Shared, pass: Pass) -> Self {
        Self {
            shared,
            pass: Some(pass),
            started: shared.gate.start(),
        }
    }

    /// Counts the outcome of the call.
    #[inline]
    pub fn settle(mut self, verdict: impl Into<Verdict>) {
        self.settle_once(verdict.into());
    }

    /// Counts the outcome, if none was counted yet. Moved as little as possible: what is read in other
    /// pieces than it was written costs more than all the rest.
    #[inline]
    pub(crate) fn settle_once(&mut self, verdict: Verdict) {
        let Some(pass) = self.pass.take() else { return };
        // What most calls come to.
        if verdict == Verdict::Success && pass.is_ignored(self.shared.gate.word()) {
            return;
        }
        self.shared.settle(pass, verdict, self.started);
    }

    /// As if by dropping it, but whether the thread panics does not matter.
    pub(crate) fn give_up(&mut self) {
        if self.pass.is_some() {
            self.settle_once(self.shared.gate.verdict_on_dropped(self.started));
        }
    }

    #[inline]
    pub(crate) const fn is_settled(&self) -> bool {
        self.pass.is_none()
    }

    pub(crate) const fn clock(&self) -> &Clock {
        self.shared.gate.clock()
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.is_settled() {
            return;
        }
        if thread::panicking() {
            self.settle_once(Verdict::failure());
        } else {
            self.give_up();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
