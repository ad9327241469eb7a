use tokio::time::Instant;

use super::slab::NONE;
use super::slot::{Slot, State};
use super::{Book, Checkup, Effects, Lend};
use crate::snapshot::CloseReason;
use crate::times::later;

/// A connection that the housekeeper asks whether it is broken.
pub(crate) struct Question<R> {
    pub(crate) slot: u32,
    pub(crate) one: R,
    /// The one it stood behind among those to be lent.
    behind: u32,
}

impl<R: Lend> Book<R> {
    /// Whether it is time to ask those that can be lent whether they are broken; then it is again
    /// after a period.
    pub(super) fn is_sweep_due(&mut self, now: Instant) -> bool {
        let is_due = self.sweep_at.is_some_and(|at| at <= now);
        if is_due || self.sweep_at.is_none() {
            self.sweep_at = Some(later(now, self.times.sweep_every));
        }
        is_due
    }

    /// The first in a slot from this on that is to be asked. Nobody else gets one that is whole
    /// meanwhile, so one is asked at a time, and none that is in demand: it was asked when it was given
    /// back.
    pub(crate) fn ask(&mut self, from: u32, now: Instant) -> Option<Question<R>> {
        let is_whole = self.max_leases == 1;
        let rest = self.times.sweep_every / 2;
        let to_ask = |(id, slot): (u32, &Slot<R>)| {
            let is_due = match slot.state {
                State::Idle => !is_whole || later(slot.idle_since, rest) <= now,
                State::Lent => !is_whole,
                _ => false,
            };
            is_due.then(|| (id, slot.lane, slot.before()))
        };
        let (id, lane, behind) = self.slots.iter_from(from).find_map(to_ask)?;
        if is_whole {
            self.lanes[lane].levels.remove(&mut self.slots, id, 0);
            self.set(id, State::Checking);
        }
        let slot = &mut self.slots[id];
        slot.asking = true;
        let one = slot.lend();
        Some(Question {
            slot: id,
            one,
            behind,
        })
    }

    /// It said whether it is broken. One that is not stands where it stood.
    pub(crate) fn answered(
        &mut self,
        question: Question<R>,
        broken: bool,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let Question {
            slot: id,
            one,
            behind,
        } = question;
        let slot = &mut self.slots[id];
        slot.asking = false;
        if slot.state == State::Abandoned {
            fx.refs.push(one);
        } else {
            slot.take_home(one);
        }
        if self.max_leases == 1 && slot.state == State::Checking {
            let lane = slot.lane;
            // The first is lent first: if the one before it is gone, so are all before that.
            let is_there = |behind: &Slot<R>| behind.lane == lane && behind.state == State::Idle;
            let behind = match self.slots.get(behind) {
                Some(slot) if is_there(slot) => behind,
                _ => NONE,
            };
            let levels = &mut self.lanes[lane].levels;
            levels.insert_behind(&mut self.slots, id, 0, behind);
            self.set(id, State::Idle);
        }
        match self.slots[id].state {
            _ if broken => {
                self.mourn(id, now, fx);
                self.break_down(id, now, fx);
            }
            State::Idle | State::Lent => {
                self.seen_good(id, now, fx);
                self.settle(id, now, fx);
            }
            _ => {}
        }
        self.finish(id, fx);
    }

    /// Begins a check of an idle connection, which nobody gets until it is passed.
    pub(super) fn check(&mut self, id: u32, for_lease: bool, fx: &mut Effects<R>) {
        let lane = self.slots[id].lane;
        self.lanes[lane].levels.remove(&mut self.slots, id, 0);
        self.set(id, State::Checking);
        let slot = &mut self.slots[id];
        slot.for_lease = for_lease;
        // One that is being checked anyway need not be checked twice.
        if !std::mem::take(&mut slot.probing) {
            let one = slot.lend();
            self.checks.push(Checkup { slot: id, one });
            fx.poke = true;
        }
    }

    /// As `check`, for a connection that others may have meanwhile.
    pub(super) fn probe(&mut self, id: u32) {
        let slot = &mut self.slots[id];
        slot.probing = true;
        slot.for_lease = false;
        let one = slot.lend();
        self.checks.push(Checkup { slot: id, one });
    }

    /// A check is over.
    pub(crate) fn checked(
        &mut self,
        id: u32,
        one: R,
        passed: bool,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let slot = &mut self.slots[id];
        if slot.state == State::Abandoned {
            fx.refs.push(one);
        } else {
            slot.take_home(one);
        }
        if passed {
            slot.checked = now;
            slot.good_at = now;
            self.seen_good(id, now, fx);
        } else {
            self.mourn(id, now, fx);
        }
        let slot = &mut self.slots[id];
        slot.probing = false;
        let (lane, for_lease) = (slot.lane, slot.for_lease);
        let it = &mut self.lanes[lane];
        match slot.state {
            State::Checking if passed => {
                it.distrusted = false;
                if for_lease {
                    it.levels.insert(&mut self.slots, id, 0);
                } else {
                    it.levels.insert_last(&mut self.slots, id, 0);
                }
                self.set(id, State::Idle);
                self.settle(id, now, fx);
            }
            State::Checking => {
                slot.doomed = Some(CloseReason::CheckFailed);
                self.set(id, State::Retired);
                self.finish(id, fx);
            }
            State::Idle | State::Lent if passed => self.settle(id, now, fx),
            State::Idle | State::Lent => self.retire(id, CloseReason::CheckFailed, now, fx),
            _ => self.finish(id, fx),
        }
        if for_lease && !passed {
            // The others are checked all at once, not one after the other by who comes for them, and
            // a new one is made meanwhile.
            let it = &mut self.lanes[lane];
            it.distrusted = true;
            it.doubted_at = Some(now);
            self.serve(lane, now, fx);
        }
    }
}
