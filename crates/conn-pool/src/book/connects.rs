use tokio::time::Instant;

use super::lane::{Failing, Trouble};
use super::slot::{Slot, State};
use super::{Book, Effects, Lend};
use crate::error::Cause;
use crate::snapshot::CloseReason;
use crate::times::{cut, later};

/// By how much of itself a lifetime or a keep-alive time may be cut.
pub(super) const JITTER: f64 = 0.1;

impl<R: Lend> Book<R> {
    /// Begins as many connections as are wanted and allowed: gives their slots and lanes.
    pub(super) fn plan(&mut self, now: Instant, fx: &mut Effects<R>) -> Vec<(u32, u32)> {
        let mut begun = Vec::new();
        if self.closed {
            return begun;
        }
        while self.census.of(State::Connecting) < self.counts.max_connecting
            && let Some(lane) = self.next_to_connect(now)
        {
            if self.census.total() >= self.counts.max_size {
                self.make_room(now, fx);
                break;
            }
            let slot = self
                .slots
                .insert(Slot::connecting(lane, self.max_leases, now));
            self.census.add(State::Connecting);
            self.lanes[lane].census.add(State::Connecting);
            begun.push((slot, lane));
        }
        begun
    }

    /// The lane that is due a connection: that of whoever waits for the longest, or else one that
    /// must have more.
    pub(super) fn next_to_connect(&self, now: Instant) -> Option<u32> {
        let wanted = self.waiting.iter().filter_map(|&lane| {
            let ticket = self.place_wanted(lane, now)?;
            Some((ticket, lane))
        });
        if let Some((_, lane)) = wanted.min() {
            return Some(lane);
        }
        let mut lanes = self.lanes.iter();
        lanes
            .find(|(_, lane)| {
                lane.census.live() < self.counts.min_size.max(lane.replace)
                    && lane.may_connect(now)
                    && self.census.total() < self.counts.max_size
            })
            .map(|(id, _)| id)
    }

    /// A connection was made. `max_leases` is what it says itself, `jitter` is between 0 and 1.
    pub(crate) fn connected(
        &mut self,
        id: u32,
        one: R,
        max_leases: u32,
        jitter: f64,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let slot = &mut self.slots[id];
        slot.born = now;
        slot.idle_since = now;
        slot.good_at = now;
        slot.checked = now;
        slot.max_leases = max_leases.min(self.max_leases);
        slot.jitter = jitter;
        slot.expires = later(now, cut(self.times.lifetime, JITTER * jitter));
        slot.home = Some(one);
        let lane = &mut self.lanes[slot.lane];
        lane.distrusted = false;
        // The next will be of its kind.
        lane.max_leases = slot.max_leases;
        lane.levels.insert(&mut self.slots, id, 0);
        let failing = lane.failing.take();
        self.set(id, State::Idle);
        self.tally.created += 1;
        fx.poke = true;
        fx.changed = true;
        fx.causes.extend(failing.map(|failing| failing.cause));
        self.settle(id, now, fx);
    }

    /// Connecting failed.
    pub(crate) fn failed(&mut self, id: u32, cause: Cause, now: Instant, fx: &mut Effects<R>) {
        let (lane, begun) = (self.slots[id].lane, self.slots[id].born);
        self.remove(id, fx);
        self.fail(lane, begun, cause, now, fx);
    }

    /// A connection was made, and is broken already: that is a failure to make it.
    pub(crate) fn stillborn(
        &mut self,
        id: u32,
        one: R,
        cause: Cause,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let slot = &mut self.slots[id];
        let (lane, begun) = (slot.lane, slot.born);
        slot.home = Some(one);
        self.hand_to_close(id, CloseReason::Broken, fx);
        self.fail(lane, begun, cause, now, fx);
    }

    /// What was begun then came to nothing. The housekeeper is to say when it is
    /// [tried again](Self::retry).
    pub(super) fn fail(
        &mut self,
        lane: u32,
        begun: Instant,
        cause: Cause,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        if self.closed {
            // It was given up.
            fx.causes.push(cause);
            return;
        }
        self.tally.failed += 1;
        fx.poke = true;
        fx.causes.extend(self.last_failure.replace(cause.clone()));
        let it = &mut self.lanes[lane];
        match &mut it.failing {
            // Those that were begun together fail together: that is one failure.
            Some(failing) if begun < failing.at => {
                fx.causes.push(std::mem::replace(&mut failing.cause, cause));
                // Those who came after the failure wait for the next try.
                if failing.retry_at.is_some() {
                    let come_by = failing.at;
                    self.refuse_uncovered(lane, come_by, now, fx);
                }
            }
            failing => {
                let trouble = Trouble {
                    at: now,
                    failed: true,
                };
                let former = it.trouble.replace(trouble);
                let since = failing.as_ref().map_or(now, |failing| failing.since);
                let former = failing.replace(Failing {
                    cause,
                    since,
                    at: now,
                    first: former.is_none_or(|former| !former.failed),
                    retry_at: None,
                });
                fx.causes.extend(former.map(|former| former.cause));
            }
        }
    }

    /// When connecting is tried again. With nothing left to lend, those who wait are told that it
    /// failed.
    pub(crate) fn retry(
        &mut self,
        lane: u32,
        retry_at: Instant,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let Some(failing) = &mut self.lanes[lane].failing else {
            return;
        };
        failing.retry_at = Some(retry_at);
        fx.poke = true;
        fx.changed = true;
        self.refuse_uncovered(lane, now, now, fx);
    }

    /// With nothing left to lend, refuses those of whom came until then for whom no connection is
    /// coming: the last in the queue.
    fn refuse_uncovered(&mut self, lane: u32, come_by: Instant, now: Instant, fx: &mut Effects<R>) {
        let it = &self.lanes[lane];
        if !it.is_down() {
            return;
        }
        let mut waiter = it.waiters.tail();
        for _ in 0..it.uncovered() {
            let it = &self.lanes[lane];
            let before = it.waiters.before(&self.waiters, waiter);
            if self.waiters[waiter].since <= come_by
                && let Some(error) = self.down(it, now)
            {
                self.refuse(waiter, error, fx);
            }
            waiter = before;
        }
    }
}
