use std::time::Duration;

use crate::tally::Tally;

/// What a cache holds, and what it has done since it was made.
///
/// The numbers are read one after the other while the cache is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Entries, among them such that are dead and not removed yet.
    pub entries: usize,
    /// What they weigh.
    pub weight: u64,
    /// Loads that are under way.
    pub loading: usize,
    /// Calls answered by a fresh entry, or by a failure that is kept.
    pub hits: u64,
    /// Calls answered at once by an entry that was fresh no more.
    pub stale_hits: u64,
    /// Calls that began a load, and looks that found nothing to give.
    pub misses: u64,
    /// Calls that waited for a load which another had begun.
    pub waiters: u64,
    /// Loads that brought an answer. After an invalidation by tag, what was taken over from an older load
    /// counts once more.
    pub loaded: u64,
    /// Loads that failed.
    pub failed: u64,
    /// Loads that were dropped since nobody waited for them any more.
    pub abandoned: u64,
    /// How long the loads took together that brought an answer or failed; one that is ready when it is
    /// polled first takes no time.
    pub load_time: Duration,
    /// Entries removed since they were too old for anything.
    pub expired: u64,
    /// Entries removed to make room for others.
    pub evicted: u64,
    /// Entries removed since they were invalidated, or a newer answer was not to be kept.
    pub invalidated: u64,
    /// Entries whose place a newer one of the same key took.
    pub replaced: u64,
    /// Entries for which there never was room.
    pub rejected: u64,
}

impl Snapshot {
    pub(crate) fn of(tally: &Tally) -> Self {
        Self {
            stale_hits: tally.stale_hits,
            misses: tally.misses,
            waiters: tally.waiters,
            loaded: tally.loaded,
            failed: tally.failed,
            abandoned: tally.abandoned,
            load_time: tally.load_time,
            expired: tally.expired,
            evicted: tally.evicted,
            invalidated: tally.invalidated,
            replaced: tally.replaced,
            rejected: tally.rejected,
            ..Self::default()
        }
    }
}
