//! The account of all connections and of all who wait for one.
//!
//! Plain data under one short lock: it is told what happened and what time it is, and says what is to
//! be done ([`Effects`], [`Work`]) once the lock is released. Nothing here calls or drops what is not
//! its own.

// Not `book.rs`: the model check takes the folder in by its path.

#[cfg(test)]
mod audit;
mod connects;
mod lane;
mod slab;
mod slot;
mod upkeep;

use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::connects::Recovery;
use self::lane::{Lane, Note, Waiter};
use self::slab::{NONE, Slab};
#[allow(unreachable_pub, reason = "in the bounds of a sealed trait")]
pub use self::slot::Lend;
use self::slot::{Census, Slot, State};
pub(crate) use self::upkeep::Work;
use crate::error::{AcquireError, BackendDown, Cause, Closed, Sizes, TimedOut};
use crate::limits::Counts;
use crate::snapshot::{CloseReason, Snapshot, Tally};
use crate::times::{Times, later};

/// The lane of a pool that has one target.
pub(crate) const ONLY: u32 = 0;

/// See the [module](self).
pub(crate) struct Book<R> {
    name: Option<Arc<str>>,
    counts: Counts,
    max_leases: u32,
    times: Times,
    closed: bool,
    /// There is a housekeeper, who closes what is to be closed.
    attended: bool,
    slots: Slab<Slot<R>>,
    lanes: Slab<Lane>,
    waiters: Slab<Waiter<R>>,
    notes: Slab<Note>,
    /// The lanes that have waiters.
    waiting: Vec<u32>,
    /// The sum of those of the lanes.
    census: Census,
    tickets: u64,
    /// When the housekeeper looks by itself.
    armed: Option<Instant>,
    closing: Vec<Goner<R>>,
    checks: Vec<Checkup<R>>,
    aborts: Vec<R>,
    last_failure: Option<Cause>,
    tally: Tally,
}

/// What is to be done once the lock is released.
pub(crate) struct Effects<R> {
    pub(crate) wake: Wakers,
    /// To be dropped: what was lent.
    pub(crate) refs: Vec<R>,
    /// To be dropped: errors.
    pub(crate) causes: Vec<Cause>,
    /// There is something for the housekeeper.
    pub(crate) poke: bool,
    /// Connections came or went.
    pub(crate) changed: bool,
}

/// Mostly one.
#[derive(Default)]
pub(crate) struct Wakers {
    one: Option<Waker>,
    more: Vec<Waker>,
}

/// A lease that was granted.
pub(crate) struct Grant<R> {
    pub(crate) one: R,
    pub(crate) note: u32,
    /// Nobody had the connection before.
    pub(crate) new: bool,
}

/// What came of joining the queue.
pub(crate) enum Joined<R> {
    Granted(Grant<R>),
    Refused(Box<AcquireError>),
    Waiting(u32),
}

/// A connection to be closed: all there is of it.
pub(crate) struct Goner<R> {
    pub(crate) slot: u32,
    pub(crate) reason: CloseReason,
    pub(crate) home: Option<R>,
    pub(crate) spares: Vec<R>,
}

/// A connection to be checked.
pub(crate) struct Checkup<R> {
    pub(crate) slot: u32,
    pub(crate) one: R,
}

impl<R: Lend> Book<R> {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        counts: Counts,
        max_leases: u32,
        times: Times,
    ) -> Self {
        let mut lanes = Slab::new();
        lanes.insert(Lane::new());
        Self {
            name,
            counts,
            max_leases,
            times,
            closed: false,
            attended: true,
            slots: Slab::new(),
            lanes,
            waiters: Slab::new(),
            notes: Slab::new(),
            waiting: Vec::new(),
            census: Census::NONE,
            tickets: 0,
            armed: None,
            closing: Vec::new(),
            checks: Vec::new(),
            aborts: Vec::new(),
            last_failure: None,
            tally: Tally::default(),
        }
    }

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
        if slot.state != State::Lent || self.census.live() > self.counts.max_size {
            return Err(one);
        }
        if !self.waiting.is_empty() {
            let waiter = self.lanes[slot.lane].waiters.head();
            // Over many targets it may be due to another.
            if self.lanes.len() > 1 || waiter == NONE {
                return Err(one);
            }
            return Ok(self.hand_over(note, one, waiter, now));
        }
        self.notes.remove(note);
        let (lane, load) = (slot.lane, slot.leases);
        slot.take_home(one);
        slot.leases = load - 1;
        if load == 1 {
            slot.idle_since = now;
            slot.good_at = now;
        }
        let levels = &mut self.lanes[lane].levels;
        if load < self.max_leases {
            levels.shift(&mut self.slots, id, load, load - 1);
        } else {
            levels.insert(&mut self.slots, id, load - 1);
        }
        if load == 1 {
            self.set(id, State::Idle);
        }
        Ok(None)
    }

    /// The lease goes from one to the next, and nothing else changes.
    fn hand_over(&mut self, note: u32, one: R, waiter: u32, now: Instant) -> Option<Waker> {
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

    /// A lease, or a place in the queue, for which the waker is taken.
    pub(crate) fn join(
        &mut self,
        lane: u32,
        now: Instant,
        place: &'static Location<'static>,
        waker: &mut Option<Waker>,
        fx: &mut Effects<R>,
    ) -> Joined<R> {
        if self.closed {
            return Joined::Refused(Box::new(self.closed_error()));
        }
        if let Some(grant) = self.acquire(lane, now, place) {
            return Joined::Granted(grant);
        }
        if let Some(error) = self.hopeless(lane, now) {
            self.tally.refused += 1;
            return Joined::Refused(Box::new(error));
        }
        let waker = waker.take().unwrap_or_else(|| Waker::noop().clone());
        let waiter = Waiter::new(lane, self.tickets, now, place, waker);
        self.tickets += 1;
        let id = self.waiters.insert(waiter);
        let it = &mut self.lanes[lane];
        it.waiters.push_back(&mut self.waiters, id);
        it.waiting += 1;
        if it.at == NONE {
            it.at = self.waiting.len() as u32;
            self.waiting.push(lane);
        }
        self.serve(lane, now, fx);
        let it = &self.lanes[lane];
        if it.uncovered(self.max_leases) > 0
            && it.census.total() < self.counts.max_per_key
            && (self.census.total() < self.counts.max_size
                || (self.lanes.len() > 1 && self.census.of(State::Idle) > 0))
        {
            fx.poke = true;
        }
        let deadline = later(now, self.patience(it));
        fx.poke |= self.armed.is_none_or(|armed| deadline < armed);
        Joined::Waiting(id)
    }

    /// What became of a waiter; it is gone once that is told.
    pub(crate) fn fetch(&mut self, waiter: u32) -> Poll<Result<Grant<R>, Box<AcquireError>>> {
        match self.waiters[waiter].outcome.take() {
            None => Poll::Pending,
            Some(outcome) => {
                self.waiters.remove(waiter);
                Poll::Ready(outcome)
            }
        }
    }

    pub(crate) fn will_wake(&self, waiter: u32, waker: &Waker) -> bool {
        let stored = self.waiters[waiter].waker.as_ref();
        stored.is_some_and(|stored| stored.will_wake(waker))
    }

    /// Leaves the former waker in its place.
    pub(crate) fn set_waker(&mut self, waiter: u32, waker: &mut Option<Waker>) {
        std::mem::swap(&mut self.waiters[waiter].waker, waker);
    }

    /// A waiter gives up, and what it may have got goes to the next.
    #[must_use = "is to be dropped without the lock"]
    pub(crate) fn leave(
        &mut self,
        waiter: u32,
        now: Instant,
        fx: &mut Effects<R>,
    ) -> (Option<Waker>, Option<Box<AcquireError>>) {
        if self.waiters[waiter].outcome.is_none() {
            self.unlink(waiter);
        }
        let Waiter { waker, outcome, .. } = self.waiters.remove(waiter);
        match outcome {
            Some(Ok(grant)) => {
                self.give_back(grant.note, grant.one, false, now, fx);
                (waker, None)
            }
            Some(Err(error)) => (waker, Some(error)),
            None => (waker, None),
        }
    }

    /// A lease ends.
    pub(crate) fn give_back(
        &mut self,
        note: u32,
        one: R,
        broken: bool,
        now: Instant,
        fx: &mut Effects<R>,
    ) {
        let id = self.notes.remove(note).slot;
        let slot = &mut self.slots[id];
        let (lane, load) = (slot.lane, slot.leases);
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
        if load < self.max_leases {
            levels.shift(&mut self.slots, id, load, load - 1);
        } else {
            levels.insert(&mut self.slots, id, load - 1);
        }
        if load == 1 {
            self.slots[id].idle_since = now;
            self.slots[id].good_at = now;
            self.set(id, State::Idle);
        }
        if broken {
            self.break_down(id, now, fx);
        } else {
            self.settle(id, now, fx);
        }
    }

    /// The one who has a connection says that it is broken, for everybody.
    pub(crate) fn report_broken(&mut self, note: u32, now: Instant, fx: &mut Effects<R>) {
        self.break_down(self.notes[note].slot, now, fx);
    }

    /// A lease ends, and its connection is the pool's no more.
    pub(crate) fn detach(&mut self, note: u32, fx: &mut Effects<R>) {
        let id = self.notes.remove(note).slot;
        self.tally.close(CloseReason::Detached);
        self.remove(id, fx);
    }

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

    /// There is no housekeeper any more: what it had to do is dropped.
    pub(crate) fn leave_unattended(&mut self, now: Instant, fx: &mut Effects<R>) {
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
        fx.refs.append(&mut self.aborts);
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

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closed, and all connections are gone.
    pub(crate) const fn is_drained(&self) -> bool {
        self.closed && self.census.total() == 0
    }

    /// Those who have not finished with shared connections do so without the pool.
    pub(crate) fn abandon_all(&mut self, fx: &mut Effects<R>) {
        for id in self.ids() {
            if self.slots[id].state == State::Retired {
                self.abandon(id, fx);
            }
        }
    }

    /// A lane for one more target.
    pub(crate) fn new_lane(&mut self) -> u32 {
        self.lanes.insert(Lane::new())
    }

    /// Somebody means to join a lane, which stays until the interest is gone.
    pub(crate) fn gain_interest(&mut self, lane: u32) {
        self.lanes[lane].interest += 1;
    }

    pub(crate) fn lose_interest(&mut self, lane: u32, now: Instant, fx: &mut Effects<R>) {
        self.lanes[lane].interest -= 1;
        fx.poke |= self.lanes[lane].is_empty(now);
    }

    /// Forgets a lane that nothing stands in; false if something does.
    pub(crate) fn forget(&mut self, lane: u32, now: Instant, fx: &mut Effects<R>) -> bool {
        let is_empty = self.lanes[lane].is_empty(now);
        if is_empty && let Some(failing) = self.lanes.remove(lane).failing {
            fx.causes.push(failing.cause);
        }
        is_empty
    }

    /// When the connection of a lease was made, and when it was lent.
    pub(crate) fn dates(&self, note: u32) -> (Instant, Instant) {
        let Note { slot, at, .. } = self.notes[note];
        (self.slots[slot].born, at)
    }

    pub(crate) const fn failures(&self) -> u64 {
        self.tally.failed
    }

    /// Whether there are as many as there must be; or what connecting failed with since it had failed
    /// so many times.
    pub(crate) fn is_warm(&self, failures: u64, now: Instant) -> Result<bool, AcquireError> {
        if self.closed {
            return Err(self.closed_error());
        }
        if self.census.usable() >= self.counts.min_size {
            return Ok(true);
        }
        match &self.lanes[ONLY].failing {
            Some(failing) if failing.retry_at.is_some() && self.tally.failed > failures => {
                self.down(&self.lanes[ONLY], now).map_or(Ok(false), Err)
            }
            _ => Ok(false),
        }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let census = &self.census;
        // One that is retired is lent still, unless it is only being checked.
        Sizes {
            idle: census.of(State::Idle),
            lent: census.of(State::Lent) + census.of(State::Checking) + census.of(State::Retired),
            connecting: census.of(State::Connecting),
            closing: census.of(State::Closing),
            waiting: self.waiting_in_all(),
        }
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let tally = self.tally.clone();
        let notes = self.notes.iter().map(|(_, note)| note);
        let oldest = notes.min_by_key(|note| note.at);
        Snapshot {
            name: self.name.clone(),
            sizes: self.sizes(),
            max_size: self.counts.max_size,
            min_size: self.counts.min_size,
            leases: self.notes.len(),
            leased: tally.leased,
            waited: tally.waited,
            waited_for: tally.waited_for,
            timed_out: tally.timed_out,
            refused: tally.refused,
            created: tally.created,
            failed: tally.failed,
            waits: tally.waits,
            closed: tally.closed,
            last_failure: self.last_failure.clone(),
            oldest_lease: oldest.map(|note| (now - note.at, note.place)),
        }
    }

    /// Whether a check must precede the next lease.
    #[inline]
    fn is_stale(&self, id: u32, now: Instant) -> bool {
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
    fn lend(&mut self, id: u32, now: Instant, place: &'static Location<'static>) -> Grant<R> {
        let slot = &mut self.slots[id];
        let (lane, load) = (slot.lane, slot.leases);
        let new = !slot.used;
        slot.used = true;
        slot.leases = load + 1;
        let one = slot.lend();
        let levels = &mut self.lanes[lane].levels;
        if load + 1 < self.max_leases {
            levels.shift(&mut self.slots, id, load, load + 1);
        } else {
            levels.remove(&mut self.slots, id, load);
        }
        if load == 0 {
            self.set(id, State::Lent);
        }
        self.tally.leased += 1;
        let note = self.notes.insert(Note::new(id, now, place));
        Grant { one, note, new }
    }

    /// Gives the first in the queue what there is, for as long as there is something.
    fn serve(&mut self, lane: u32, now: Instant, fx: &mut Effects<R>) {
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
                if it.uncovered(self.max_leases) == 0 && self.max_leases == 1 {
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
    fn settle(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
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

    fn break_down(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        // Others to the same place may have broken with it. Those shared are fewer, told apart by
        // their own checks.
        if self.max_leases == 1 && matches!(slot.state, State::Idle | State::Lent) {
            self.lanes[slot.lane].doubted_at = Some(now);
        }
        self.retire(id, CloseReason::Broken, now, fx);
    }

    /// Is not lent again, and closed as soon as nobody has it.
    fn retire(&mut self, id: u32, reason: CloseReason, now: Instant, fx: &mut Effects<R>) {
        let slot = &mut self.slots[id];
        let (lane, load) = (slot.lane, slot.leases);
        if !matches!(slot.state, State::Retired | State::Closing) {
            slot.doomed.get_or_insert(reason);
        }
        if !matches!(slot.state, State::Idle | State::Lent) {
            return;
        }
        slot.drain_by = later(now, self.times.drain_within);
        if load < self.max_leases {
            let levels = &mut self.lanes[lane].levels;
            levels.remove(&mut self.slots, id, load);
        }
        self.set(id, State::Retired);
        fx.poke = true;
        self.finish(id, fx);
    }

    /// Closes what is retired, or removes what was abandoned, if nobody has it any more.
    fn finish(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        if slot.leases > 0 || slot.probing {
            return;
        }
        match slot.state {
            State::Retired => self.begin_close(id, fx),
            State::Abandoned => self.remove(id, fx),
            _ => {}
        }
    }

    fn begin_close(&mut self, id: u32, fx: &mut Effects<R>) {
        self.set(id, State::Closing);
        let slot = &mut self.slots[id];
        let reason = slot.doomed.unwrap_or(CloseReason::Broken);
        let (home, spares) = (slot.home.take(), std::mem::take(&mut slot.spares));
        self.tally.close(reason);
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

    fn abandon(&mut self, id: u32, fx: &mut Effects<R>) {
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

    fn remove(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = self.slots.remove(id);
        self.census.subtract(slot.state);
        self.lanes[slot.lane].census.subtract(slot.state);
        fx.refs.extend(slot.home);
        fx.refs.extend(slot.spares);
        fx.poke = true;
        fx.changed = true;
    }

    #[inline]
    fn set(&mut self, id: u32, to: State) {
        let slot = &mut self.slots[id];
        let from = std::mem::replace(&mut slot.state, to);
        let census = &mut self.lanes[slot.lane].census;
        census.subtract(from);
        census.add(to);
        self.census.subtract(from);
        self.census.add(to);
    }

    /// Whether a target that waits for longer can get a connection only in the place of this one.
    fn is_owed_to_another(&self, lane: u32, now: Instant) -> bool {
        if self.lanes.len() == 1
            || self.census.total() < self.counts.max_size
            || self.census.of(State::Closing) > 0
        {
            return false;
        }
        let own = match self.lanes[lane].waiters.head() {
            NONE => return false,
            head => self.waiters[head].ticket,
        };
        self.waiting.iter().any(|&other| {
            other != lane
                && self
                    .place_wanted(other, now)
                    .is_some_and(|ticket| ticket < own)
        })
    }

    /// Since when (by its ticket) somebody waits for a new connection that this lane might have.
    fn place_wanted(&self, lane: u32, now: Instant) -> Option<u64> {
        let it = &self.lanes[lane];
        if it.census.total() >= self.counts.max_per_key || !it.may_connect(now) {
            return None;
        }
        it.first_uncovered(&self.waiters, self.max_leases)
    }

    /// Tells a waiter what became of it.
    fn tell(
        &mut self,
        waiter: u32,
        outcome: Result<Grant<R>, Box<AcquireError>>,
        fx: &mut Effects<R>,
    ) {
        self.unlink(waiter);
        let waiter = &mut self.waiters[waiter];
        waiter.outcome = Some(outcome);
        if let Some(waker) = waiter.waker.take() {
            fx.wake.push(waker);
        }
    }

    fn unlink(&mut self, waiter: u32) {
        let lane = self.waiters[waiter].lane;
        let it = &mut self.lanes[lane];
        it.waiters.remove(&mut self.waiters, waiter);
        it.waiting -= 1;
        if it.waiting == 0 {
            let at = std::mem::replace(&mut it.at, NONE);
            self.waiting.swap_remove(at as usize);
            if let Some(&moved) = self.waiting.get(at as usize) {
                self.lanes[moved].at = at;
            }
        }
    }

    fn refuse(&mut self, waiter: u32, error: AcquireError, fx: &mut Effects<R>) {
        match error {
            AcquireError::TimedOut(_) => self.tally.timed_out += 1,
            AcquireError::BackendDown(_) => self.tally.refused += 1,
            AcquireError::Closed(_) => {}
        }
        self.tell(waiter, Err(Box::new(error)), fx);
    }

    /// How long one may wait.
    fn patience(&self, lane: &Lane) -> Duration {
        let Times {
            acquire_within,
            fail_fast_after,
            ..
        } = self.times;
        if lane.is_down() {
            acquire_within.min(fail_fast_after)
        } else {
            acquire_within
        }
    }

    /// Why a newcomer need not wait at all, if so.
    fn hopeless(&self, lane: u32, now: Instant) -> Option<AcquireError> {
        let it = &self.lanes[lane];
        let retry_at = it.failing.as_ref()?.retry_at?;
        let retry_in = retry_at.saturating_duration_since(now);
        if it.is_down() && retry_in >= self.patience(it) {
            self.down(it, now)
        } else {
            None
        }
    }

    fn down(&self, lane: &Lane, now: Instant) -> Option<AcquireError> {
        let failing = lane.failing.as_ref()?;
        let retry_at = failing.retry_at.unwrap_or(now);
        Some(AcquireError::BackendDown(BackendDown {
            name: self.name.clone(),
            cause: failing.cause.clone(),
            retry_in: retry_at.saturating_duration_since(now),
        }))
    }

    fn closed_error(&self) -> AcquireError {
        AcquireError::Closed(Closed {
            name: self.name.clone(),
        })
    }

    fn timed_out(&self, lane: &Lane, waited: Duration) -> AcquireError {
        AcquireError::TimedOut(TimedOut {
            name: self.name.clone(),
            waited,
            sizes: self.sizes(),
            cause: lane.failing.as_ref().map(|failing| failing.cause.clone()),
        })
    }

    fn waiting_in_all(&self) -> u32 {
        let waiting = self.waiting.iter().map(|&lane| self.lanes[lane].waiting);
        waiting.sum()
    }

    fn longest_idle(&self, among: impl Fn(&Slot<R>) -> bool) -> Option<u32> {
        let idle = self.slots.iter().filter(|(_, slot)| among(slot));
        idle.min_by_key(|(_, slot)| slot.idle_since)
            .map(|(id, _)| id)
    }

    fn ids(&self) -> Vec<u32> {
        self.slots.iter().map(|(id, _)| id).collect()
    }
}

impl<R> Effects<R> {
    pub(crate) const fn none() -> Self {
        Self {
            wake: Wakers {
                one: None,
                more: Vec::new(),
            },
            refs: Vec::new(),
            causes: Vec::new(),
            poke: false,
            changed: false,
        }
    }
}

impl Wakers {
    fn push(&mut self, waker: Waker) {
        if self.one.is_none() {
            self.one = Some(waker);
        } else {
            self.more.push(waker);
        }
    }

    pub(crate) fn wake(self) {
        for waker in self.one.into_iter().chain(self.more) {
            waker.wake();
        }
    }
}
