use std::time::Duration;

use tokio::time::Instant;

use super::slab::NONE;
use super::slot::{Slot, State};
use super::{Book, Effects, Lend};
use crate::snapshot::CloseReason;
use crate::times::later;

/// So that calls of usual length end by themselves before their connection is taken away.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(100);

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
        let covered = it.waiting - it.uncovered();
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
        uncovered.div_ceil(it.max_leases).min(most)
    }

    /// Closes idle connections of other targets, those that are idle for the longest, for as many as
    /// wait for a place.
    pub(super) fn make_room(&mut self, now: Instant, fx: &mut Effects<R>) {
        let waiting = self.waiting.iter();
        let wanted = waiting.map(|&lane| self.places_wanted(lane, u64::MAX, now));
        let wanted: u32 = wanted.sum();
        while self.places_to_come() < wanted
            && let Some(id) = self.longest_idle(|slot| {
                slot.state == State::Idle && self.lanes[slot.lane].waiting == 0
            })
        {
            self.retire(id, CloseReason::Evicted, now, fx);
        }
        if self.max_leases > 1 {
            self.give_way(now, fx);
        }
    }

    /// Those shared may never be idle: for each target that has waited for a while, the least loaded
    /// of another is lent no more, and drains.
    fn give_way(&mut self, now: Instant, fx: &mut Effects<R>) {
        let waiting = self.waiting.iter();
        let pressing = waiting.filter_map(|&lane| {
            let from = self.presses_from(lane, now)?;
            self.place_wanted(lane, now).filter(|_| from <= now)
        });
        let mut pressing: Vec<_> = pressing.collect();
        pressing.sort();
        let leaving = |book: &Self| book.census.of(State::Closing) + book.census.of(State::Retired);
        for ticket in pressing.into_iter().skip(leaving(self) as usize) {
            // Not of one that has waited for longer itself.
            let may_go = |slot: &Slot<R>| {
                let head = self.lanes[slot.lane].waiters.head();
                let is_first = head != NONE && self.waiters[head].ticket <= ticket;
                slot.state == State::Lent && !is_first
            };
            let lent = self.slots.iter().filter(|(_, slot)| may_go(slot));
            let Some((id, _)) = lent.min_by_key(|(_, slot)| slot.leases) else {
                return;
            };
            self.retire(id, CloseReason::Evicted, now, fx);
        }
    }

    /// When those of others are to give way to this lane, if it waits for a place.
    pub(super) fn presses_from(&self, lane: u32, now: Instant) -> Option<Instant> {
        let it = &self.lanes[lane];
        if self.max_leases == 1
            || self.lanes.len() == 1
            || self.census.total() < self.counts.max_size
            || self.place_wanted(lane, now).is_none()
        {
            return None;
        }
        let waiter = it.first_uncovered(&self.waiters)?;
        let after = GIVES_WAY_AFTER.min(self.times.acquire_within / 2);
        Some(later(self.waiters[waiter].since, after))
    }

    /// Since when (by its ticket) somebody waits for a new connection that this lane might have.
    pub(super) fn place_wanted(&self, lane: u32, now: Instant) -> Option<u64> {
        let it = &self.lanes[lane];
        if it.census.total() >= self.counts.max_per_key || !it.may_connect(now) {
            return None;
        }
        let waiter = it.first_uncovered(&self.waiters)?;
        Some(self.waiters[waiter].ticket)
    }
}
