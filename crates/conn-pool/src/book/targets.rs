use tokio::time::Instant;

use super::slab::NONE;
use super::slot::{Slot, State};
use super::{Book, Lend};

/// Who of many targets is due the next place.
impl<R: Lend> Book<R> {
    /// Whether targets that wait for longer can get a connection only in the place of this one.
    pub(super) fn is_owed_to_another(&self, lane: u32, now: Instant) -> bool {
        if self.lanes.len() == 1 || self.waiting.is_empty() {
            return false;
        }
        let own = match self.lanes[lane].waiters.head() {
            // Whoever comes now comes after all who wait.
            NONE => u64::MAX,
            head => self.waiters[head].ticket,
        };
        let others = self.waiting.iter().filter(|&&other| other != lane);
        let wanted: u32 = others.map(|&it| self.places_wanted(it, own, now)).sum();
        let free = self.counts.max_size.saturating_sub(self.census.total());
        wanted > free.saturating_add(self.places_to_come())
    }

    /// How many places are about to be free: nobody has these connections any more.
    pub(super) fn places_to_come(&self) -> u32 {
        let mut to_come = self.census.of(State::Closing);
        if self.census.of(State::Retired) > 0 {
            let checked = |slot: &Slot<R>| slot.state == State::Retired && slot.leases == 0;
            to_come += self.slots.iter().filter(|(_, slot)| checked(slot)).count() as u32;
        }
        to_come
    }

    /// How many connections this lane may have for those who have waited in it since before this
    /// ticket.
    pub(super) fn places_wanted(&self, lane: u32, before: u64, now: Instant) -> u32 {
        if self.place_wanted(lane, now).is_none() {
            return 0;
        }
        let it = &self.lanes[lane];
        let covered = it.waiting - it.uncovered(self.max_leases);
        let mut waiter = it.waiters.head();
        let mut uncovered = 0;
        for nth in 0..it.waiting {
            if self.waiters[waiter].ticket >= before {
                break;
            }
            uncovered += u32::from(nth >= covered);
            waiter = it.waiters.after(&self.waiters, waiter);
        }
        // While connecting fails one at a time is tried.
        let most = match it.failing {
            Some(_) => 1,
            None => self.counts.max_per_key - it.census.total(),
        };
        uncovered.div_ceil(self.max_leases).min(most)
    }

    /// Since when (by its ticket) somebody waits for a new connection that this lane might have.
    pub(super) fn place_wanted(&self, lane: u32, now: Instant) -> Option<u64> {
        let it = &self.lanes[lane];
        if it.census.total() >= self.counts.max_per_key || !it.may_connect(now) {
            return None;
        }
        it.first_uncovered(&self.waiters, self.max_leases)
    }
}
