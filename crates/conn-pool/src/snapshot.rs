use std::error::Error;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Cause, Sizes};

/// Why a connection left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It said so itself, or who had it did.
    Broken,
    /// It did not pass a check.
    CheckFailed,
    /// It was not needed for long.
    Idle,
    /// It reached its lifetime.
    Lifetime,
    /// All connections of its time were [retired](crate::Pool::retire_all).
    Retired,
    /// The pool was made smaller.
    Surplus,
    /// It was idle, or came back, when another target was due.
    Evicted,
    /// It was [taken out](crate::Lease::detach).
    Detached,
    /// The pool was closed.
    Closed,
}

/// What a pool is, and what it has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name of the pool.
    pub name: Option<Arc<str>>,
    /// What it consists of. All but `waiting` together never exceed `max_size`, unless that was
    /// lowered while more were lent.
    pub sizes: Sizes,
    /// How many connections it may have.
    pub max_size: u32,
    /// How many it keeps.
    pub min_size: u32,
    /// Leases that are out; above `sizes.lent` where connections are shared.
    pub leases: u32,
    /// Leases so far.
    pub leased: u64,
    /// Those among them for which the caller had to wait.
    pub waited: u64,
    /// How long these waited, all together.
    pub waited_for: Duration,
    /// Callers that were told that no connection became free.
    pub timed_out: u64,
    /// Callers that were told that the backend is down.
    pub refused: u64,
    /// Connections made so far.
    pub created: u64,
    /// Times that connecting failed, or what it made was [of no use](crate::ShortLived).
    pub failed: u64,
    pub(crate) waits: [u64; WAITS],
    pub(crate) closed: [u64; REASONS],
    pub(crate) last_failure: Option<Cause>,
    pub(crate) oldest_lease: Option<(Duration, &'static Location<'static>)>,
}

const REASONS: usize = CloseReason::Closed as usize + 1;
/// From under two microseconds to over an hour, each twice the one before.
const WAITS: usize = 32;

/// What the book counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) leased: u64,
    pub(crate) waited: u64,
    pub(crate) waited_for: Duration,
    pub(crate) waits: [u64; WAITS],
    pub(crate) timed_out: u64,
    pub(crate) refused: u64,
    pub(crate) created: u64,
    pub(crate) failed: u64,
    pub(crate) closed: [u64; REASONS],
}

impl Snapshot {
    /// How many connections left the pool for this reason.
    #[must_use]
    pub const fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// What connecting failed with last, if it ever did.
    #[must_use]
    pub fn last_failure(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.last_failure.as_deref()
    }

    /// How long the longest lease has lasted, and where it was asked for: where
    /// [`acquire`](crate::Pool::acquire) was called, or the service made that asked.
    #[must_use]
    pub const fn oldest_lease(&self) -> Option<(Duration, &'static Location<'static>)> {
        self.oldest_lease
    }

    /// A bound, to a factor of two, that this share of the waits did not exceed: 0.99 asks for what
    /// 99 of 100 that had to wait stayed below. `None` if nobody has waited.
    #[must_use]
    pub fn wait_below(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.waits.iter().sum();
        let rank = (share.clamp(0.0, 1.0) * all as f64).ceil() as u64;
        let mut seen = 0;
        let bucket = self.waits.iter().position(|count| {
            seen += count;
            seen >= rank.max(1)
        })?;
        Some(Duration::from_micros(2 << bucket))
    }
}

impl Tally {
    pub(crate) fn wait(&mut self, waited: Duration) {
        self.waited += 1;
        self.waited_for = self.waited_for.saturating_add(waited);
        let micros = waited.as_micros().max(1);
        self.waits[(micros.ilog2() as usize).min(WAITS - 1)] += 1;
    }

    pub(crate) const fn close(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }
}
