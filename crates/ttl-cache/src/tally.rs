//! What a cache has done.

use std::time::Duration;

/// Why an entry was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was too old for anything.
    Expired,
    /// There was no room for it any more.
    Size,
    /// It was invalidated.
    Explicit,
    /// Another took its place.
    Replaced,
    /// There never was room for it.
    Rejected,
}

/// Counts of one part of a cache, under its lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) misses: u64,
    pub(crate) stale_hits: u64,
    pub(crate) waiters: u64,
    pub(crate) loaded: u64,
    pub(crate) failed: u64,
    pub(crate) abandoned: u64,
    pub(crate) load_time: Duration,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) invalidated: u64,
    pub(crate) replaced: u64,
    pub(crate) rejected: u64,
}

impl Tally {
    pub(crate) fn removed(&mut self, cause: Cause) {
        let count = match cause {
            Cause::Expired => &mut self.expired,
            Cause::Size => &mut self.evicted,
            Cause::Explicit => &mut self.invalidated,
            Cause::Replaced => &mut self.replaced,
            Cause::Rejected => &mut self.rejected,
        };
        *count += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.misses += other.misses;
        self.stale_hits += other.stale_hits;
        self.waiters += other.waiters;
        self.loaded += other.loaded;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        self.load_time += other.load_time;
        self.expired += other.expired;
        self.evicted += other.evicted;
        self.invalidated += other.invalidated;
        self.replaced += other.replaced;
        self.rejected += other.rejected;
    }
}
