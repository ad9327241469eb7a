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
/// A clone is made by each look-up, and has only what a hit needs: the value, until when it is given
/// without a thought, and a stamp, which is that of what is always too old if a tag was invalidated.
#[derive(Debug)]
pub(crate) struct Record<V> {
    pub(crate) held: Result<V, LoadFailed>,
    calm_until: Tick,
    pub(crate) stamp: Stamp,
    /// `None` if it is fresh while it is calm and dead after that, weighs 1 and has no tags; in a clone.
    terms: Option<Box<Kept>>,
}

/// How an answer is stored.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) windows: Windows,
    pub(crate) weight: u64,
    pub(crate) tags: Tags,
}

#[derive(Debug)]
struct Kept {
    terms: Terms,
    retry_at: AtomicU64,
}

impl<V> Record<V> {
    pub(crate) fn new(held: Result<V, LoadFailed>, terms: Terms, stamp: Stamp) -> Self {
        let is_plain = terms.windows.are_plain() && terms.weight == 1 && terms.tags.are_none();
        Self {
            held,
            calm_until: terms.windows.calm_until,
            stamp,
            terms: (!is_plain).then(|| {
                Box::new(Kept {
                    terms,
                    retry_at: AtomicU64::new(0),
                })
            }),
        }
    }

    /// Whether it may be given without a further thought, if nothing older than `floor` is valid.
    #[inline]
    pub(crate) fn is_calm(&self, now: Tick, floor: Stamp) -> bool {
        now < self.calm_until && self.stamp >= floor
    }

    /// Whether it was invalidated.
    pub(crate) fn is_invalid(&self, floor: Stamp) -> bool {
        self.stamp < floor || self.are_tags_invalid()
    }

    #[inline]
    fn are_tags_invalid(&self) -> bool {
        match &self.terms {
            None => false,
            Some(kept) => kept.terms.tags.are_invalid(self.stamp),
        }
    }

    /// Not of a clone.
    pub(crate) fn age(&self, now: Tick, floor: Stamp, draw: impl FnOnce() -> f64) -> Age {
        if self.is_invalid(floor) {
            return Age::Dead;
        }
        match &self.terms {
            None if now < self.calm_until => Age::Fresh,
            None => Age::Dead,
            Some(kept) => {
                let retry_at = Tick(kept.retry_at.load(Ordering::Relaxed));
                kept.terms.windows.age(now, retry_at, draw)
            }
        }
    }

    /// No load of it is tried before that, while it may be given.
    pub(crate) fn rest_until(&self, retry_at: Tick) {
        if let Some(kept) = &self.terms {
            kept.retry_at.store(retry_at.0, Ordering::Relaxed);
        }
    }

    /// From then on it is good for nothing.
    pub(crate) fn dead_at(&self) -> Tick {
        match &self.terms {
            None => self.calm_until,
            Some(kept) => kept.terms.windows.dead_at(),
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        match &self.terms {
            None => 1,
            Some(kept) => kept.terms.weight,
        }
    }
}

impl<V: Clone> Clone for Record<V> {
    #[inline]
    fn clone(&self) -> Self {
        let stamp = if self.are_tags_invalid() {
            Stamp(0)
        } else {
            self.stamp
        };
        Self {
            held: self.held.clone(),
            calm_until: self.calm_until,
            stamp,
            terms: None,
        }
    }
}
