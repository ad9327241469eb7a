use tokio::time::Instant;

use super::slab::{Linked, Links, List, NONE, Slab};
use crate::snapshot::CloseReason;

/// Where a connection is in its life; it is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is being made.
    Connecting,
    /// Nobody has it.
    Idle,
    /// Somebody has it; where it is shared, more may have it.
    Lent,
    /// It is being checked, and nobody else has it.
    Checking,
    /// It is not lent any more, and those who have it may finish.
    Retired,
    /// Nobody has it, and it is being closed.
    Closing,
    /// Those who have it did not finish in time. It is not the pool's any more: it is not counted.
    Abandoned,
}

/// How many are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census([u32; 7]);

/// What is known of a connection whose lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It may be lent again.
    Good,
    /// So it may, but it came to nobody.
    Unused,
    /// It may not, though that is not to say that it is broken.
    Unfit,
    Broken,
}

/// What a lease lends: taken home when it ends.
#[allow(unnameable_types, reason = "in the bounds of a sealed trait")]
pub trait Lend: Sized {
    /// One more of what is at home, if more can be had.
    fn lend(home: &mut Option<Self>) -> Option<Self>;
}

/// One connection's place in the pool.
pub(crate) struct Slot<R> {
    links: Links,
    pub(crate) lane: u32,
    /// Changed by the book's `set` only, which counts.
    pub(crate) state: State,
    pub(crate) leases: u32,
    /// How many there may be: what it said itself, and no more than the pool lends.
    pub(crate) max_leases: u32,
    /// What was lent before, and is at home.
    pub(crate) home: Option<R>,
    /// More of the same, made when several were lent at once, and kept.
    pub(crate) spares: Vec<R>,
    /// When it came to be, or began to.
    pub(crate) born: Instant,
    pub(crate) expires: Instant,
    pub(crate) idle_since: Instant,
    /// When it came back or passed a check.
    pub(crate) good_at: Instant,
    /// When a check was last passed.
    pub(crate) checked: Instant,
    /// Between 0 and 1, and the same for all its life.
    pub(crate) jitter: f64,
    /// It is being checked while others may have it.
    pub(crate) probing: bool,
    /// It is being asked whether it is broken.
    pub(crate) asking: bool,
    /// The check precedes a lease.
    pub(crate) for_lease: bool,
    /// It has been lent before.
    pub(crate) used: bool,
    /// A lease of it went well, or it was seen to be good after a while.
    pub(crate) proven: bool,
    /// Why it must not be lent any more, as soon as it can be closed.
    pub(crate) doomed: Option<CloseReason>,
    pub(crate) drain_by: Instant,
}

/// The connections of one target that can be lent, by the number of their leases.
pub(crate) struct Levels {
    /// Newest first.
    lists: Vec<List>,
    /// Those below are empty.
    least: usize,
}

impl Census {
    pub(crate) const NONE: Self = Self([0; 7]);

    pub(crate) const fn of(&self, state: State) -> u32 {
        self.0[state as usize]
    }

    pub(crate) const fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    pub(crate) const fn subtract(&mut self, state: State) {
        self.0[state as usize] -= 1;
    }

    /// All that count against the maximum.
    pub(crate) const fn total(&self) -> u32 {
        self.live() + self.of(State::Retired) + self.of(State::Closing)
    }

    /// Those that will be lent in future.
    pub(crate) const fn live(&self) -> u32 {
        self.of(State::Connecting) + self.usable()
    }

    /// Those that are made, and will be lent in future.
    pub(crate) const fn usable(&self) -> u32 {
        self.of(State::Idle) + self.of(State::Lent) + self.of(State::Checking)
    }
}

impl<T> Lend for Box<T> {
    fn lend(home: &mut Option<Self>) -> Option<Self> {
        home.take()
    }
}

impl<T> Lend for std::sync::Arc<T> {
    fn lend(home: &mut Option<Self>) -> Option<Self> {
        home.clone()
    }
}

impl<R: Lend> Slot<R> {
    pub(crate) const fn connecting(lane: u32, max_leases: u32, now: Instant) -> Self {
        Self {
            links: Links::NOWHERE,
            lane,
            state: State::Connecting,
            leases: 0,
            max_leases,
            home: None,
            spares: Vec::new(),
            born: now,
            expires: now,
            idle_since: now,
            good_at: now,
            checked: now,
            jitter: 0.0,
            probing: false,
            asking: false,
            for_lease: false,
            used: false,
            proven: false,
            doomed: None,
            drain_by: now,
        }
    }

    /// The one before it in the list that it stands in, or [`NONE`].
    pub(crate) const fn before(&self) -> u32 {
        self.links.before()
    }

    /// No more can have it.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.leases >= self.max_leases
    }

    #[inline]
    pub(crate) fn lend(&mut self) -> R {
        let one = self.spares.pop().or_else(|| R::lend(&mut self.home));
        one.unwrap_or_else(|| unreachable!("lent although it is away"))
    }

    #[inline]
    pub(crate) fn take_home(&mut self, one: R) {
        if self.home.is_none() {
            self.home = Some(one);
        } else {
            self.spares.push(one);
        }
    }
}

impl<R> Linked for Slot<R> {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Levels {
    pub(crate) const fn new() -> Self {
        Self {
            lists: Vec::new(),
            least: 0,
        }
    }

    /// The newest of the least loaded.
    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        let list = self.lists.get(self.least)?;
        (!list.is_empty()).then(|| list.head())
    }

    #[cfg(test)]
    pub(crate) fn lists(&self) -> &[List] {
        &self.lists
    }

    #[inline]
    pub(crate) fn insert<R>(&mut self, slots: &mut Slab<Slot<R>>, id: u32, load: u32) {
        self.list(load).push_front(slots, id);
        self.least = self.least.min(load as usize);
    }

    /// Behind all others of its load: it was not lent of late.
    pub(crate) fn insert_last<R>(&mut self, slots: &mut Slab<Slot<R>>, id: u32, load: u32) {
        self.list(load).push_back(slots, id);
        self.least = self.least.min(load as usize);
    }

    /// Behind another of its load, or before all if that is [`NONE`].
    pub(crate) fn insert_behind<R>(
        &mut self,
        slots: &mut Slab<Slot<R>>,
        id: u32,
        load: u32,
        other: u32,
    ) {
        self.list(load).insert_behind(slots, id, other);
        self.least = self.least.min(load as usize);
    }

    #[inline]
    pub(crate) fn remove<R>(&mut self, slots: &mut Slab<Slot<R>>, id: u32, load: u32) {
        self.lists[load as usize].remove(slots, id);
        self.settle();
    }

    /// As removal and insertion, without a look at all levels in between.
    #[inline]
    pub(crate) fn shift<R>(&mut self, slots: &mut Slab<Slot<R>>, id: u32, from: u32, to: u32) {
        self.lists[from as usize].remove(slots, id);
        self.list(to).push_front(slots, id);
        self.least = self.least.min(to as usize);
        self.settle();
    }

    #[inline]
    fn list(&mut self, load: u32) -> &mut List {
        let load = load as usize;
        if load >= self.lists.len() {
            self.lists.resize(load + 1, List::EMPTY);
        }
        &mut self.lists[load]
    }

    #[inline]
    fn settle(&mut self) {
        while self.lists.get(self.least).is_some_and(List::is_empty) {
            self.least += 1;
        }
        if self.least == self.lists.len() {
            self.least = NONE as usize;
        }
    }
}
