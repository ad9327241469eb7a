//! When entries die, so that they can be removed without looking at those that live.

use std::{collections::BTreeMap, mem};

use crate::tick::Tick;

/// Finds one entry: the hash of its key, and its number among all that there have ever been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) hash: u64,
    pub(crate) id: u64,
}

/// Tickets by the time at which their entries die, in buckets.
///
/// A bucket is as wide as a sixteenth of the time that was left when a ticket came, at least a quarter
/// of a second: there are few of them, and an entry is found late by no more than that.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    buckets: BTreeMap<Tick, Vec<Ticket>>,
    len: usize,
    /// The memory of a bucket that is over.
    spare: Vec<Ticket>,
}

/// About a quarter of a second.
const NARROWEST: u64 = 1 << 28;

impl Calendar {
    /// Says when the bucket is due.
    pub(crate) fn push(&mut self, dead_at: Tick, now: Tick, ticket: Ticket) -> Tick {
        let left = dead_at.0.saturating_sub(now.0);
        // At most 2^60, so that the power exists.
        let width = (left / 16).clamp(NARROWEST, 1 << 60).next_power_of_two();
        let end = match dead_at.0.checked_next_multiple_of(width) {
            Some(end) => Tick(end),
            None => Tick::NEVER,
        };
        let spare = &mut self.spare;
        let bucket = self.buckets.entry(end);
        bucket.or_insert_with(|| mem::take(spare)).push(ticket);
        self.len += 1;
        end
    }

    /// One whose entry is dead, if there is.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<Ticket> {
        let mut first = self.buckets.first_entry()?;
        if *first.key() > now {
            return None;
        }
        let ticket = first.get_mut().pop();
        if first.get().is_empty() {
            let bucket = first.remove();
            if bucket.capacity() > self.spare.capacity() {
                self.spare = bucket;
            }
        }
        self.len -= 1;
        ticket
    }

    /// When the next entries are to be removed.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.buckets.first_key_value().map(|(end, _)| *end)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Forgets the tickets whose entries have gone otherwise.
    pub(crate) fn retain(&mut self, mut is_there: impl FnMut(Ticket) -> bool) {
        self.buckets.retain(|_, bucket| {
            bucket.retain(|it| is_there(*it));
            if bucket.capacity() > 16 * bucket.len() + 64 {
                bucket.shrink_to(2 * bucket.len());
            }
            !bucket.is_empty()
        });
        self.len = self.buckets.values().map(Vec::len).sum();
    }

    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        self.buckets.values().flatten().copied().collect()
    }
}
