use tokio::time::Instant;

use super::slot::{Slot, State};
use super::{Book, Checkup, Effects, Goner, Lend};
use crate::snapshot::CloseReason;
use crate::times::later;

impl<R: Lend> Book<R> {
    /// No more leases: all are told, and what comes back is closed.
    pub(crate) fn close(&mut self, now: Instant, fx: &mut Effects<R>) {
        self.closed = true;
        self.retire_all(CloseReason::Closed, now, fx);
        while let Some(&lane) = self.waiting.last() {
            let waiter = self.lanes[lane].waiters.head();
            let error = self.closed_error();
            self.refuse(waiter, error, fx);
        }
        fx.poke = true;
        fx.changed = true;
    }

    /// There is no housekeeper any more: what it had to do is dropped. Gives those that are to be
    /// aborted.
    pub(crate) fn leave_unattended(&mut self, now: Instant, fx: &mut Effects<R>) -> Vec<R> {
        self.attended = false;
        self.close(now, fx);
        for Goner {
            slot, home, spares, ..
        } in std::mem::take(&mut self.closing)
        {
            fx.refs.extend(home);
            fx.refs.extend(spares);
            self.remove(slot, fx);
        }
        for Checkup { slot, one } in std::mem::take(&mut self.checks) {
            self.checked(slot, one, false, now, fx);
        }
        self.begin_aborts()
    }

    /// No connection of now is lent again.
    pub(crate) fn retire_all(&mut self, reason: CloseReason, now: Instant, fx: &mut Effects<R>) {
        for id in self.ids() {
            // One that is being made is of the new time.
            if self.slots[id].state != State::Connecting || reason == CloseReason::Closed {
                self.retire(id, reason, now, fx);
            }
        }
    }

    /// All connections of now are past their lifetime.
    pub(crate) fn replace_all(&mut self, now: Instant, fx: &mut Effects<R>) {
        for id in self.ids() {
            if self.slots[id].state != State::Connecting {
                let slot = &mut self.slots[id];
                slot.expires = slot.expires.min(now);
            }
        }
        fx.poke = true;
    }

    /// Another maximum; what is above it goes as soon as nobody has it.
    pub(crate) fn resize(&mut self, max_size: u32, now: Instant, fx: &mut Effects<R>) -> bool {
        if max_size < self.counts.min_size {
            return false;
        }
        self.counts.max_size = max_size;
        let idle = |slot: &Slot<R>| slot.state == State::Idle;
        while self.census.live() > max_size
            && let Some(id) = self.longest_idle(idle)
        {
            self.retire(id, CloseReason::Surplus, now, fx);
        }
        // Those shared may never be idle, so they are not waited for; the least loaded go.
        if self.max_leases > 1 {
            let mut lent: Vec<_> = self.slots.iter().collect();
            lent.retain(|(_, slot)| slot.state == State::Lent);
            lent.sort_by_key(|(_, slot)| slot.leases);
            let lent: Vec<_> = lent.into_iter().map(|(id, _)| id).collect();
            for id in lent {
                if self.census.live() > max_size {
                    self.retire(id, CloseReason::Surplus, now, fx);
                }
            }
        }
        fx.poke = true;
        true
    }

    /// Those who have not finished with shared connections do so without the pool. Gives those that
    /// are to be aborted.
    pub(crate) fn abandon_all(&mut self, fx: &mut Effects<R>) -> Vec<R> {
        for id in self.ids() {
            if self.slots[id].state == State::Retired {
                self.abandon(id, fx);
            }
        }
        self.begin_aborts()
    }

    /// Those that are to be aborted, by one who says when they [are](Self::aborted).
    pub(super) fn begin_aborts(&mut self) -> Vec<R> {
        let aborts = std::mem::take(&mut self.aborts);
        self.aborting += aborts.len() as u32;
        aborts
    }

    pub(crate) const fn aborted(&mut self, number: u32, fx: &mut Effects<R>) {
        self.aborting -= number;
        fx.poke = true;
        fx.changed = true;
    }

    /// Is not lent again, and closed as soon as nobody has it.
    pub(super) fn retire(
        &mut self,
        id: u32,
        reason: CloseReason,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let slot = &mut self.slots[id];
        let (lane, load) = (slot.lane, slot.leases);
        if !matches!(slot.state, State::Retired | State::Closing) {
            slot.doomed.get_or_insert(reason);
        }
        let drain_by = later(now, self.times.drain_within);
        match slot.state {
            State::Idle | State::Lent => {
                if !slot.is_full() {
                    let levels = &mut self.lanes[lane].levels;
                    levels.remove(&mut self.slots, id, load);
                }
            }
            // Its check goes on, but it is not counted on any more. One that is whole and being asked
            // is not being checked.
            State::Checking => slot.probing = self.max_leases > 1 || !slot.asking,
            _ => return,
        }
        self.slots[id].drain_by = drain_by;
        self.set(id, State::Retired);
        fx.poke = true;
        self.finish(id, fx);
    }

    /// Closes what is retired, or removes what was abandoned, if nobody has it any more.
    pub(super) fn finish(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        if slot.leases > 0 || slot.probing || slot.asking {
            return;
        }
        match slot.state {
            State::Retired => self.begin_close(id, fx),
            State::Abandoned => self.remove(id, fx),
            _ => {}
        }
    }

    fn begin_close(&mut self, id: u32, fx: &mut Effects<R>) {
        let reason = self.slots[id].doomed.unwrap_or(CloseReason::Broken);
        self.tally.close(reason);
        self.hand_to_close(id, reason, fx);
    }

    pub(super) fn hand_to_close(&mut self, id: u32, reason: CloseReason, fx: &mut Effects<R>) {
        self.set(id, State::Closing);
        let slot = &mut self.slots[id];
        let (home, spares) = (slot.home.take(), std::mem::take(&mut slot.spares));
        if self.attended {
            self.closing.push(Goner {
                slot: id,
                reason,
                home,
                spares,
            });
            fx.poke = true;
        } else {
            fx.refs.extend(home);
            fx.refs.extend(spares);
            self.remove(id, fx);
        }
    }

    /// A connection has been closed.
    pub(crate) fn closed(&mut self, id: u32, fx: &mut Effects<R>) {
        self.remove(id, fx);
    }

    pub(super) fn abandon(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = &mut self.slots[id];
        let reason = slot.doomed.unwrap_or(CloseReason::Broken);
        // One that is not shared is with the one who has it.
        let Some(home) = slot.home.take() else {
            return;
        };
        let spares = std::mem::take(&mut slot.spares);
        self.tally.close(reason);
        self.set(id, State::Abandoned);
        fx.refs.extend(spares);
        self.aborts.push(home);
        fx.poke = true;
        fx.changed = true;
        self.finish(id, fx);
    }

    pub(super) fn remove(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = self.slots.remove(id);
        self.census.subtract(slot.state);
        self.lanes[slot.lane].census.subtract(slot.state);
        fx.refs.extend(slot.home);
        fx.refs.extend(slot.spares);
        fx.poke = true;
        fx.changed = true;
    }

    pub(super) fn longest_idle(&self, among: impl Fn(&Slot<R>) -> bool) -> Option<u32> {
        let idle = self.slots.iter().filter(|(_, slot)| among(slot));
        idle.min_by_key(|(_, slot)| slot.idle_since)
            .map(|(id, _)| id)
    }
}
