use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

use super::connects::JITTER;
use super::lane::Note;
use super::slab::NONE;
use super::slot::{Slot, State};
use super::{Book, Checkup, Effects, Goner, Lend};
use crate::snapshot::CloseReason;
use crate::times::{cut, later};

/// What the housekeeper is to do.
pub(crate) struct Work<R> {
    /// Connections to begin: slots and lanes.
    pub(crate) connect: Vec<(u32, u32)>,
    pub(crate) close: Vec<Goner<R>>,
    pub(crate) check: Vec<Checkup<R>>,
    pub(crate) abort: Vec<R>,
    /// Lanes that failed, to be told when to try again, and whether it is for the first time.
    pub(crate) failed: Vec<(u32, bool)>,
    /// Lanes that failed, and do so no more.
    pub(crate) recovered: Vec<u32>,
    /// Leases that last too long: for how long, and where they were asked for.
    pub(crate) leaks: Vec<(Duration, &'static Location<'static>)>,
    /// Lanes that can be forgotten.
    pub(crate) empty: Vec<u32>,
    /// Those that can be lent are to be asked whether they are broken.
    pub(crate) sweep: bool,
    /// What is being made is not wanted any more.
    pub(crate) closed: bool,
    /// When to come again, unless called before.
    pub(crate) next: Option<Instant>,
    /// Nothing is left, and nothing will come.
    pub(crate) over: bool,
}

impl<R: Lend> Book<R> {
    /// Does what is due, and says what is to be done outside.
    pub(crate) fn work(&mut self, now: Instant, fx: &mut Effects<R>) -> Work<R> {
        // In this order, since callers have less patience with a target that has lost its last.
        self.expire_connections(now, fx);
        for lane in self.waiting.clone() {
            self.serve(lane, now, fx);
        }
        // Before those without patience are refused, the try that they ask for is begun.
        let connect = self.plan(now, fx);
        self.expire_waiters(now, fx);
        let leaks = self.leaks(now);
        let sweep = self.is_sweep_due(now);
        self.armed = self.next(now);
        Work {
            connect,
            close: std::mem::take(&mut self.closing),
            check: std::mem::take(&mut self.checks),
            abort: self.begin_aborts(),
            failed: self.unanswered_failures(),
            recovered: std::mem::take(&mut self.recovered),
            leaks,
            empty: self.empty_lanes(now),
            sweep,
            closed: self.closed,
            next: self.armed,
            over: self.is_drained(),
        }
    }

    fn expire_waiters(&mut self, now: Instant, fx: &mut Effects<R>) {
        for lane in self.waiting.clone() {
            loop {
                let it = &self.lanes[lane];
                let waiter = it.waiters.head();
                if waiter == NONE {
                    break;
                }
                let since = self.waiters[waiter].since;
                if self.gives_up_at(it, since) > now {
                    break;
                }
                let waited = now.saturating_duration_since(since);
                let down = if it.is_down() {
                    self.down(it, now)
                } else {
                    None
                };
                let error = down.unwrap_or_else(|| self.timed_out(it, waited));
                self.refuse(waiter, error, fx);
            }
        }
    }

    fn expire_connections(&mut self, now: Instant, fx: &mut Effects<R>) {
        let mut idle = Vec::new();
        let mut overdue = Vec::new();
        let mut quiet = Vec::new();
        let mut stuck = Vec::new();
        for (id, slot) in self.slots.iter() {
            match slot.state {
                State::Idle | State::Lent | State::Checking if slot.expires <= now => {
                    overdue.push((slot.expires, id));
                }
                State::Idle if later(slot.idle_since, self.times.idle_for) <= now => {
                    idle.push((slot.idle_since, id));
                }
                State::Retired if self.max_leases > 1 && slot.drain_by <= now => stuck.push(id),
                _ => {}
            }
            if self.keep_alive_at(slot).is_some_and(|at| at <= now) {
                quiet.push(id);
            }
        }
        idle.sort();
        for (_, id) in idle {
            let usable = self.lanes[self.slots[id].lane].census.usable();
            if usable > self.counts.min_size {
                self.retire(id, CloseReason::Idle, now, fx);
            }
        }
        overdue.sort();
        self.replace(&overdue, now, fx);
        for id in quiet {
            match self.slots[id].state {
                State::Idle if self.max_leases == 1 => self.check(id, false, fx),
                State::Idle | State::Lent => self.probe(id),
                _ => {}
            }
        }
        for id in stuck {
            self.abandon(id, fx);
        }
    }

    /// Retires those past their lifetime, the oldest first, each once there is another in its place
    /// if one is needed.
    fn replace(&mut self, overdue: &[(Instant, u32)], now: Instant, fx: &mut Effects<R>) {
        for id in self.lane_ids() {
            self.lanes[id].replace = 0;
        }
        for &(_, id) in overdue {
            let slot = &self.slots[id];
            let lane = &self.lanes[slot.lane];
            let in_demand = self.max_leases > 1 && slot.state == State::Lent;
            let needed = self.counts.min_size.max(u32::from(in_demand));
            let census = &lane.census;
            let may_go = if census.usable() > needed {
                true
            } else {
                let has_room = self.census.total() < self.counts.max_size
                    && census.total() < self.counts.max_per_key;
                let leaving = census.of(State::Retired) + census.of(State::Closing);
                let coming = census.of(State::Connecting);
                if has_room || coming > 0 {
                    self.lanes[slot.lane].replace = needed.saturating_add(1);
                    false
                } else {
                    // No room for its successor: it goes first, one at a time, and not while there may
                    // be no successor.
                    leaving == 0 && lane.failing.is_none()
                }
            };
            if may_go {
                self.retire(id, CloseReason::Lifetime, now, fx);
            }
        }
    }

    fn keep_alive_at(&self, slot: &Slot<R>) -> Option<Instant> {
        let every = cut(self.times.keep_alive?, JITTER * slot.jitter);
        match slot.state {
            State::Idle if self.max_leases == 1 => Some(later(slot.good_at, every)),
            // That one of many calls went well says nothing of the next.
            State::Idle | State::Lent if self.max_leases > 1 && !slot.probing => {
                Some(later(slot.checked, every))
            }
            _ => None,
        }
    }

    fn leaks(&mut self, now: Instant) -> Vec<(Duration, &'static Location<'static>)> {
        let mut leaks = Vec::new();
        let Some(warn_after) = self.times.warn_after else {
            return leaks;
        };
        let due = |note: &Note| !note.reported && later(note.at, warn_after) <= now;
        let ids = self.notes.iter().filter(|(_, note)| due(note));
        let ids: Vec<_> = ids.map(|(id, _)| id).collect();
        for id in ids {
            let note = &mut self.notes[id];
            note.reported = true;
            leaks.push((now.saturating_duration_since(note.at), note.place));
        }
        leaks
    }

    fn unanswered_failures(&self) -> Vec<(u32, bool)> {
        let failing = self.lanes.iter().filter_map(|(id, lane)| {
            let failing = lane.failing.as_ref()?;
            failing.retry_at.is_none().then_some((id, failing.first))
        });
        failing.collect()
    }

    fn empty_lanes(&self, now: Instant) -> Vec<u32> {
        let empty = self.lanes.iter().skip(1);
        let empty = empty.filter(|(_, lane)| lane.is_empty(now));
        empty.map(|(id, _)| id).collect()
    }

    fn lane_ids(&self) -> Vec<u32> {
        self.lanes.iter().map(|(id, _)| id).collect()
    }

    /// When something is due by the passing of time alone. What happens without a call (a lease, a
    /// return) is due a whole period later, and so not before the end of a period that begins now.
    fn next(&self, now: Instant) -> Option<Instant> {
        let times = &self.times;
        let mut next = None;
        let mut due = |at: Instant| {
            if next.is_none_or(|next| at < next) {
                next = Some(at);
            }
        };
        for &lane in &self.waiting {
            let it = &self.lanes[lane];
            let since = self.waiters[it.waiters.head()].since;
            due(self.gives_up_at(it, since));
            if let Some(at) = self.presses_from(lane, now)
                && at > now
            {
                due(at);
            }
        }
        for (_, slot) in self.slots.iter() {
            let lane = &self.lanes[slot.lane];
            if matches!(slot.state, State::Idle | State::Lent | State::Checking)
                && slot.expires > now
            {
                due(slot.expires);
            }
            if slot.state == State::Idle && lane.census.usable() > self.counts.min_size {
                due(later(slot.idle_since, times.idle_for));
            }
            if slot.state == State::Retired && self.max_leases > 1 && slot.drain_by > now {
                due(slot.drain_by);
            }
            if let Some(at) = self.keep_alive_at(slot) {
                due(at);
            }
        }
        for (_, lane) in self.lanes.iter() {
            if let Some(retry_at) = lane.failing.as_ref().and_then(|failing| failing.retry_at)
                && retry_at > now
            {
                due(retry_at);
            }
        }
        if self.census.usable() > 0 && !self.closed {
            due(later(now, times.idle_for));
            if let Some(sweep_at) = self.sweep_at {
                due(sweep_at);
            }
            if let Some(keep_alive) = times.keep_alive {
                due(later(now, cut(keep_alive, JITTER)));
            }
        }
        if let Some(warn_after) = times.warn_after {
            if self.census.usable() > 0 {
                due(later(now, warn_after));
            }
            for (_, note) in self.notes.iter().filter(|(_, note)| !note.reported) {
                due(later(note.at, warn_after));
            }
        }
        next
    }
}
