use std::panic::Location;
use std::task::Waker;

use tokio::time::Instant;

use super::lane::Note;
use super::slab::NONE;
use super::slot::State;
use super::{Book, Condition, Effects, Grant, Lend};
use crate::snapshot::CloseReason;
use crate::times::later;

impl<R: Lend> Book<R> {
    /// A lease, if there is one for which nobody waits.
    #[inline]
    pub(crate) fn acquire(
        &mut self,
        lane: u32,
        now: Instant,
        place: &'static Location<'static>,
    ) -> Option<Grant<R>> {
        let it = &self.lanes[lane];
        if !it.waiters.is_empty() {
            return None;
        }
        let slot = it.levels.first()?;
        if self.is_stale(slot, now) {
            return None;
        }
        Some(self.lend(slot, now, place))
    }

    /// As `acquire`, without waiting; a check that is due is begun, for the next who asks.
    pub(crate) fn try_acquire(
        &mut self,
        lane: u32,
        now: Instant,
        place: &'static Location<'static>,
        fx: &mut Effects<R>,
    ) -> Option<Grant<R>> {
        while self.lanes[lane].waiters.is_empty()
            && let Some(slot) = self.lanes[lane].levels.first()
        {
            if !self.is_stale(slot, now) {
                return Some(self.lend(slot, now, place));
            }
            self.check(slot, true, fx);
        }
        None
    }

    /// A lease ends, and nothing comes of it but that the connection is at home, or with the first in
    /// the queue, who is to be woken. Otherwise it is not given back.
    pub(crate) fn give_back_quickly(
        &mut self,
        note: u32,
        one: R,
        now: Instant,
    ) -> Result<Option<Waker>, R> {
        let id = self.notes[note].slot;
        let slot = &mut self.slots[id];
        if slot.state != State::Lent
            || self.census.live() > self.counts.max_size
            || (!slot.proven && self.lanes[slot.lane].trouble.is_some())
        {
            return Err(one);
        }
        slot.proven = true;
        if !self.waiting.is_empty() {
            let waiter = self.lanes[slot.lane].waiters.head();
            // Over many targets it may be due to another.
            if self.lanes.len() > 1 || waiter == NONE {
                return Err(one);
            }
            return Ok(self.hand_over(note, one, waiter, now));
        }
        self.notes.remove(note);
        let (lane, load, is_full) = (slot.lane, slot.leases, slot.is_full());
        slot.take_home(one);
        slot.leases = load - 1;
        if load == 1 {
            slot.idle_since = now;
            slot.good_at = now;
        }
        let levels = &mut self.lanes[lane].levels;
        if is_full {
            levels.insert(&mut self.slots, id, load - 1);
        } else {
            levels.shift(&mut self.slots, id, load, load - 1);
        }
        if load == 1 {
            self.set(id, State::Idle);
        }
        Ok(None)
    }

    /// The lease goes from one to the next, and nothing else changes.
    pub(super) fn hand_over(
        &mut self,
        note: u32,
        one: R,
        waiter: u32,
        now: Instant,
    ) -> Option<Waker> {
        self.unlink(waiter);
        let it = &mut self.waiters[waiter];
        let new_note = &mut self.notes[note];
        new_note.at = now;
        new_note.place = it.place;
        new_note.reported = false;
        self.tally.leased += 1;
        self.tally.wait(now.saturating_duration_since(it.since));
        it.outcome = Some(Ok(Grant {
            one,
            note,
            new: false,
        }));
        it.waker.take()
    }

    /// A lease ends.
    pub(crate) fn give_back(
        &mut self,
        note: u32,
        one: R,
        condition: Condition,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let id = self.notes.remove(note).slot;
        match condition {
            Condition::Good => self.prove(id, fx),
            Condition::Broken => self.mourn(id, now, fx),
            Condition::Unused | Condition::Unfit => {}
        }
        let slot = &mut self.slots[id];
        let (lane, load, is_full) = (slot.lane, slot.leases, slot.is_full());
        slot.leases = load - 1;
        if slot.state != State::Lent {
            if slot.state == State::Abandoned {
                fx.refs.push(one);
            } else {
                slot.take_home(one);
            }
            return self.finish(id, fx);
        }
        slot.take_home(one);
        let levels = &mut self.lanes[lane].levels;
        if is_full {
            levels.insert(&mut self.slots, id, load - 1);
        } else {
            levels.shift(&mut self.slots, id, load, load - 1);
        }
        if load == 1 {
            self.slots[id].idle_since = now;
            self.slots[id].good_at = now;
            self.set(id, State::Idle);
        }
        match condition {
            Condition::Good | Condition::Unused => self.settle(id, now, fx),
            Condition::Unfit | Condition::Broken => self.break_down(id, now, fx),
        }
    }

    /// The one who has a connection says that it is broken, or unfit, for everybody.
    pub(crate) fn report(
        &mut self,
        note: u32,
        condition: Condition,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let id = self.notes[note].slot;
        if condition == Condition::Broken {
            self.mourn(id, now, fx);
        }
        self.break_down(id, now, fx);
    }

    /// The one who has a connection says that it was of use.
    pub(crate) fn attest(&mut self, note: u32, fx: &mut Effects<R>) {
        let id = self.notes[note].slot;
        self.prove(id, fx);
    }

    /// A lease ends, and its connection is the pool's no more.
    pub(crate) fn detach(&mut self, note: u32, fx: &mut Effects<R>) {
        let id = self.notes.remove(note).slot;
        self.tally.close(CloseReason::Detached);
        self.remove(id, fx);
    }

    /// When the connection of a lease was made, and when it was lent.
    pub(crate) fn dates(&self, note: u32) -> (Instant, Instant) {
        let Note { slot, at, .. } = self.notes[note];
        (self.slots[slot].born, at)
    }

    /// Whether a check must precede the next lease.
    #[inline]
    pub(super) fn is_stale(&self, id: u32, now: Instant) -> bool {
        let slot = &self.slots[id];
        if slot.state != State::Idle {
            return false;
        }
        let good_at = slot.good_at;
        let doubted_at = self.lanes[slot.lane].doubted_at;
        later(good_at, self.times.check_after_idle) < now
            || doubted_at.is_some_and(|doubted_at| good_at < doubted_at)
    }

    #[inline]
    pub(super) fn lend(
        &mut self,
        id: u32,
        now: Instant,
        place: &'static Location<'static>,
    ) -> Grant<R> {
        let slot = &mut self.slots[id];
        let (lane, load) = (slot.lane, slot.leases);
        let new = !slot.used;
        slot.used = true;
        slot.leases = load + 1;
        let (one, is_full) = (slot.lend(), slot.is_full());
        let levels = &mut self.lanes[lane].levels;
        if is_full {
            levels.remove(&mut self.slots, id, load);
        } else {
            levels.shift(&mut self.slots, id, load, load + 1);
        }
        if load == 0 {
            self.set(id, State::Lent);
        }
        self.tally.leased += 1;
        let note = self.notes.insert(Note::new(id, now, place));
        Grant { one, note, new }
    }

    /// Gives the first in the queue what there is, for as long as there is something.
    pub(super) fn serve(&mut self, lane: u32, now: Instant, fx: &mut Effects<R>) {
        loop {
            let it = &self.lanes[lane];
            if it.waiters.is_empty() {
                return;
            }
            let Some(slot) = it.levels.first() else {
                return;
            };
            if self.is_stale(slot, now) {
                // Those behind it have idled for longer, unless they are shared and in use.
                if it.uncovered() == 0 && self.max_leases == 1 {
                    return;
                }
                self.check(slot, true, fx);
                continue;
            }
            let waiter = it.waiters.head();
            let (since, place) = (self.waiters[waiter].since, self.waiters[waiter].place);
            let grant = self.lend(slot, now, place);
            self.tally.wait(now.saturating_duration_since(since));
            self.tell(waiter, Ok(grant), fx);
        }
    }

    /// What is done with a connection that was made, came back or passed a check.
    pub(super) fn settle(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        let (lane, idle) = (slot.lane, slot.state == State::Idle);
        if let Some(reason) = slot.doomed {
            return self.retire(id, reason, now, fx);
        }
        if idle && self.census.live() > self.counts.max_size {
            return self.retire(id, CloseReason::Surplus, now, fx);
        }
        if idle && self.is_owed_to_another(lane, now) {
            return self.retire(id, CloseReason::Evicted, now, fx);
        }
        self.serve(lane, now, fx);
        // Somebody may wait for the place of this.
        fx.poke |= idle && !self.waiting.is_empty() && self.lanes.len() > 1;
    }

    pub(super) fn break_down(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        // Others to the same place may have broken with it. Those shared are fewer, told apart by
        // their own checks.
        if self.max_leases == 1 && matches!(slot.state, State::Idle | State::Lent) {
            self.lanes[slot.lane].doubted_at = Some(now);
        }
        self.retire(id, CloseReason::Broken, now, fx);
    }
}
