use super::counted::Counted;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Requests, which each thread counts for itself, and the few retries, which all count together.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) requests: Counted,
    pub(crate) retries: Counted,
    /// Those that are allowed take turns: of two that would share what is left for one, one is
    /// refused.
    turn: Mutex<()>,
}

/// What requests allow for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Of a retry, for each request, in thousandths: it is not always whole.
    pub(crate) ratio: u32,
    /// For no request at all, in thousandths as well.
    pub(crate) reserve: u64,
}

/// In how many ticks what is older is forgotten.
pub(crate) const SLICES: u64 = 10;

/// A retry, in thousandths.
pub(crate) const COST: u64 = 1_000;

impl Ledger {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            requests: Counted::new(threads),
            retries: Counted::new(0),
            turn: Mutex::new(()),
        }
    }

    /// By whoever has it alone.
    pub(crate) fn clear(&self) {
        self.requests.clear();
        self.retries.clear();
    }

    /// Whether another retry is allowed, which is counted then.
    pub(crate) fn withdraw(&self, now: u64, terms: Terms) -> bool {
        // In an outage nearly all are refused, and need not wait for one another.
        if self.left(now, terms) < COST {
            return false;
        }
        let _turn = self.turn();
        if self.left(now, terms) < COST {
            return false;
        }
        self.retries.add(now);
        true
    }

    /// What may be withdrawn now.
    pub(crate) fn left(&self, now: u64, terms: Terms) -> u64 {
        let first = now.saturating_sub(SLICES - 1);
        let allowed = self.requests.sum(first, now) * u64::from(terms.ratio) + terms.reserve;
        // Also those of threads whose clock is ahead.
        let retries = self.retries.sum(first, u64::MAX);
        allowed.saturating_sub(retries * COST)
    }

    /// It is nobody's, whatever happened to those who had it.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
