use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::outcome::{Cause, Code, Outcome};

/// What calls came to, in numbers that only grow; each for itself, so that a look at all of them can
/// find one that another has not caught up with.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    begun: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    attempts: AtomicU64,
}

/// What the calls through a stack came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calls {
    /// Calls that are under way, streams until their end.
    pub in_flight: u64,
    /// Calls that ended with OK.
    pub succeeded: u64,
    /// Calls whose callers got another status.
    pub failed: u64,
    /// Calls that were dropped before their end.
    pub dropped: u64,
    /// How often a service was called for them: as often as there are calls, if each was sent once.
    pub attempts: u64,
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Counted(Option<Arc<Counts>>);

impl Calls {
    /// Calls that have ended, one way or another.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.dropped
    }

    /// How often the service was called for each call, on average; of those under way too. Not a number
    /// if there was none.
    #[must_use]
    pub fn attempts_per_call(&self) -> f64 {
        self.attempts as f64 / (self.ended() + self.in_flight) as f64
    }
}

impl Counts {
    pub(crate) fn begin(self: &Arc<Self>) -> Counted {
        self.begun.fetch_add(1, Relaxed);
        Counted(Some(Arc::clone(self)))
    }

    pub(crate) fn snapshot(&self) -> Calls {
        // Ends first, so that there are never more of them than beginnings.
        let succeeded = self.succeeded.load(Relaxed);
        let failed = self.failed.load(Relaxed);
        let dropped = self.dropped.load(Relaxed);
        let ended = succeeded + failed + dropped;
        Calls {
            in_flight: self.begun.load(Relaxed).saturating_sub(ended),
            succeeded,
            failed,
            dropped,
            attempts: self.attempts.load(Relaxed),
        }
    }
}

impl Counted {
    pub(crate) fn attempt(&self) {
        if let Some(counts) = &self.0 {
            counts.attempts.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        let Some(counts) = self.0.take() else { return };
        let count = match (outcome.cause, outcome.code) {
            (Cause::Dropped, _) => &counts.dropped,
            (_, Code::Ok) => &counts.succeeded,
            _ => &counts.failed,
        };
        count.fetch_add(1, Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(Outcome::new(Code::Cancelled, Cause::Dropped));
    }
}
