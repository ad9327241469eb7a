//! What is kept for a key.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    LoadFailed,
    tags::{Stamp, Tags},
    tick::Tick,
    windows::{Age, Windows},
};

/// An answer or a failure, and what decides whether it is given.
///
/// A clone is what a look-up gets: it has no tags, and if one of them was invalidated, its stamp is that
/// of what is always too old. So an entry without tags costs nothing for them, and one with tags no
/// reference count.
#[derive(Debug)]
pub(crate) struct Record<V> {
    pub(crate) held: Result<V, LoadFailed>,
    pub(crate) windows: Windows,
    pub(crate) stamp: Stamp,
    retry_at: AtomicU64,
    pub(crate) weight: u64,
    tags: Tags,
}

impl<V> Record<V> {
    pub(crate) const fn new(
        held: Result<V, LoadFailed>,
        windows: Windows,
        stamp: Stamp,
        weight: u64,
        tags: Tags,
    ) -> Self {
        Self {
            held,
            windows,
            stamp,
            retry_at: AtomicU64::new(0),
            weight,
            tags,
        }
    }

    /// Whether it may be given without a further thought, if nothing older than `floor` is valid.
    #[inline]
    pub(crate) fn is_calm(&self, now: Tick, floor: Stamp) -> bool {
        now < self.windows.calm_until && self.stamp >= floor
    }

    /// Whether it was invalidated.
    pub(crate) fn is_invalid(&self, floor: Stamp) -> bool {
        self.stamp < floor || self.tags.are_invalid(self.stamp)
    }

    pub(crate) fn age(&self, now: Tick, floor: Stamp, draw: impl FnOnce() -> f64) -> Age {
        if self.is_invalid(floor) {
            return Age::Dead;
        }
        let retry_at = Tick(self.retry_at.load(Ordering::Relaxed));
        self.windows.age(now, retry_at, draw)
    }

    /// No load of it is tried before that, while it may be given.
    pub(crate) fn rest_until(&self, retry_at: Tick) {
        self.retry_at.store(retry_at.0, Ordering::Relaxed);
    }
}

impl<V: Clone> Clone for Record<V> {
    #[inline]
    fn clone(&self) -> Self {
        let stamp = if self.tags.are_invalid(self.stamp) {
            Stamp(0)
        } else {
            self.stamp
        };
        Self {
            held: self.held.clone(),
            windows: self.windows,
            stamp,
            retry_at: AtomicU64::new(self.retry_at.load(Ordering::Relaxed)),
            weight: self.weight,
            tags: Tags::default(),
        }
    }
}
