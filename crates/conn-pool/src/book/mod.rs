//! The account of all connections and of all who wait for one.
//!
//! Plain data under one short lock: it is told what happened and what time it is, and says what is to
//! be done ([`Effects`], [`Work`]) once the lock is released. Nothing here calls or drops what is not
//! its own.

// Not `book.rs`: the model check takes the folder in by its path.

#[cfg(test)]
mod audit;
mod checks;
mod connects;
mod endings;
mod lane;
mod leases;
mod lives;
mod queue;
mod slab;
mod slot;
mod targets;
mod upkeep;
mod view;

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

#[cfg(test)]
pub(crate) use self::checks::Question;
use self::lane::{Lane, Note, Waiter};
use self::slab::Slab;
pub(crate) use self::slot::Condition;
#[allow(unreachable_pub, reason = "in the bounds of a sealed trait")]
pub use self::slot::Lend;
use self::slot::{Census, Slot, State};
pub(crate) use self::upkeep::Work;
use crate::error::{AcquireError, Cause};
use crate::limits::Counts;
use crate::snapshot::{CloseReason, Tally};
use crate::times::Times;

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
    /// When those that can be lent are asked whether they are broken.
    sweep_at: Option<Instant>,
    closing: Vec<Goner<R>>,
    checks: Vec<Checkup<R>>,
    aborts: Vec<R>,
    /// How many are being aborted.
    aborting: u32,
    /// The lanes that failed, and have had a connection since that proved good.
    recovered: Vec<u32>,
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
        lanes.insert(Lane::new(max_leases));
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
            sweep_at: None,
            closing: Vec::new(),
            checks: Vec::new(),
            aborts: Vec::new(),
            aborting: 0,
            recovered: Vec::new(),
            last_failure: None,
            tally: Tally::default(),
        }
    }

    /// A lane for one more target.
    pub(crate) fn new_lane(&mut self) -> u32 {
        self.lanes.insert(Lane::new(self.max_leases))
    }

    /// Somebody means to join a lane, which stays until the interest is gone.
    pub(crate) fn gain_interest(&mut self, lane: u32) {
        self.lanes[lane].interest += 1;
    }

    pub(crate) fn lose_interest(&mut self, lane: u32, now: Instant, fx: &mut Effects<R>) {
        self.lanes[lane].interest -= 1;
        fx.poke |= self.lanes[lane].is_empty(now);
    }

    /// Forgets a lane that nothing stands in; what it failed with is to be dropped without the lock.
    pub(crate) fn forget(&mut self, lane: u32, now: Instant) -> Option<Option<Cause>> {
        let is_empty = self.lanes[lane].is_empty(now);
        is_empty.then(|| self.lanes.remove(lane).failing.map(|failing| failing.cause))
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
