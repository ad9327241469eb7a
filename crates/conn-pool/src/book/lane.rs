use std::panic::Location;
use std::task::Waker;

use tokio::time::Instant;

use super::Grant;
use super::slab::{Linked, Links, List, NONE, Slab};
use super::slot::{Census, Levels, State};
use crate::error::{AcquireError, Cause};

/// All that is for one target.
pub(crate) struct Lane {
    pub(crate) levels: Levels,
    pub(crate) census: Census,
    /// First come, first served.
    pub(crate) waiters: List,
    pub(crate) waiting: u32,
    /// How many share a connection: as the last that was made said.
    pub(crate) max_leases: u32,
    /// Where it stands among the lanes that have waiters, or [`NONE`].
    pub(crate) at: u32,
    pub(crate) failing: Option<Failing>,
    pub(crate) trouble: Option<Trouble>,
    /// Connections that were last good before this may have died with the one that told us.
    pub(crate) doubted_at: Option<Instant>,
    /// A connection did not pass the check before a lease: those still being checked are not
    /// counted on.
    pub(crate) distrusted: bool,
    /// How many it must have, so that an old one can go.
    pub(crate) replace: u32,
    /// Callers that hold on to it without standing in it.
    pub(crate) interest: u32,
}

/// Connecting fails.
pub(crate) struct Failing {
    pub(crate) cause: Cause,
    /// When it failed first.
    pub(crate) since: Instant,
    /// When it failed last: a failure of an attempt begun before that says nothing new.
    pub(crate) at: Instant,
    /// The first failure since a connection proved good.
    pub(crate) first: bool,
    /// Unknown until the housekeeper has asked for the delay.
    pub(crate) retry_at: Option<Instant>,
}

/// Something went wrong, and no connection made since has proved good.
pub(crate) struct Trouble {
    /// When it went wrong last.
    pub(crate) at: Instant,
    /// Connecting failed. Else a connection broke as soon as it was made, which is forgiven once: its
    /// successor is made without delay.
    pub(crate) failed: bool,
}

/// A caller in the queue, or one whose lease is ready to be fetched.
pub(crate) struct Waiter<R> {
    links: Links,
    pub(crate) lane: u32,
    /// Its place in the order of all lanes.
    pub(crate) ticket: u64,
    pub(crate) since: Instant,
    pub(crate) place: &'static Location<'static>,
    pub(crate) waker: Option<Waker>,
    pub(crate) outcome: Option<Result<Grant<R>, Box<AcquireError>>>,
}

/// A lease that is out.
pub(crate) struct Note {
    pub(crate) slot: u32,
    pub(crate) at: Instant,
    pub(crate) place: &'static Location<'static>,
    /// It was reported as a leak.
    pub(crate) reported: bool,
}

impl Lane {
    pub(crate) const fn new(max_leases: u32) -> Self {
        Self {
            levels: Levels::new(),
            census: Census::NONE,
            waiters: List::EMPTY,
            waiting: 0,
            max_leases,
            at: NONE,
            failing: None,
            trouble: None,
            doubted_at: None,
            distrusted: false,
            replace: 0,
            interest: 0,
        }
    }

    /// Connecting fails, and there is nothing left to lend.
    pub(crate) const fn is_down(&self) -> bool {
        self.failing.is_some() && self.census.usable() == 0
    }

    /// There is nothing to remember of it.
    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        let failing = self.failing.as_ref();
        let remembered = failing.is_some_and(|it| it.retry_at.is_none_or(|at| at > now));
        self.waiting == 0 && self.interest == 0 && self.census == Census::NONE && !remembered
    }

    /// The connections that are about to come.
    pub(crate) const fn coming(&self) -> u32 {
        let checking = if self.distrusted {
            0
        } else {
            self.census.of(State::Checking)
        };
        self.census.of(State::Connecting) + checking
    }

    /// How many waiters no connection is coming for.
    pub(crate) const fn uncovered(&self) -> u32 {
        self.waiting.saturating_sub(self.covered())
    }

    /// How many waiters can have what is coming.
    pub(crate) const fn covered(&self) -> u32 {
        self.coming().saturating_mul(self.max_leases)
    }

    /// The first waiter that no connection is coming for.
    pub(crate) fn first_uncovered<R>(&self, waiters: &Slab<Waiter<R>>) -> Option<u32> {
        if self.uncovered() == 0 {
            return None;
        }
        let mut id = self.waiters.head();
        for _ in 0..self.covered() {
            id = self.waiters.after(waiters, id);
        }
        Some(id)
    }

    /// Whether a connection may be attempted.
    pub(crate) fn may_connect(&self, now: Instant) -> bool {
        match &self.failing {
            None => true,
            // One at a time tries whether it works again.
            Some(failing) => {
                self.census.of(State::Connecting) == 0
                    && failing.retry_at.is_some_and(|at| at <= now)
            }
        }
    }
}

impl<R> Waiter<R> {
    pub(crate) const fn new(
        lane: u32,
        ticket: u64,
        since: Instant,
        place: &'static Location<'static>,
        waker: Waker,
    ) -> Self {
        Self {
            links: Links::NOWHERE,
            lane,
            ticket,
            since,
            place,
            waker: Some(waker),
            outcome: None,
        }
    }
}

impl Note {
    pub(crate) const fn new(slot: u32, at: Instant, place: &'static Location<'static>) -> Self {
        Self {
            slot,
            at,
            place,
            reported: false,
        }
    }
}

impl<R> Linked for Waiter<R> {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}
