use std::panic::Location;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Lane, Waiter};
use super::slab::NONE;
use super::slot::State;
use super::{Book, Condition, Effects, Grant, Joined, Lend};
use crate::error::{AcquireError, BackendDown, Closed, TimedOut};
use crate::times::later;

impl<R: Lend> Book<R> {
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
        if it.uncovered() > 0
            && it.census.total() < self.counts.max_per_key
            && (self.census.total() < self.counts.max_size
                || (self.lanes.len() > 1
                    && (self.max_leases > 1 || self.census.of(State::Idle) > 0)))
        {
            fx.poke = true;
        }
        let deadline = self.gives_up_at(it, now);
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
                self.give_back(grant.note, grant.one, Condition::Unused, now, fx);
                (waker, None)
            }
            Some(Err(error)) => (waker, Some(error)),
            None => (waker, None),
        }
    }

    /// Tells a waiter what became of it.
    pub(super) fn tell(
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

    pub(super) fn unlink(&mut self, waiter: u32) {
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

    pub(super) fn refuse(&mut self, waiter: u32, error: AcquireError, fx: &mut Effects<R>) {
        match error {
            AcquireError::TimedOut(_) => self.tally.timed_out += 1,
            AcquireError::BackendDown(_) => self.tally.refused += 1,
            AcquireError::Closed(_) => {}
        }
        self.tell(waiter, Err(Box::new(error)), fx);
    }

    /// When one is told that it has waited for too long who came at `since`.
    ///
    /// While connecting fails that is soon: nobody waits for longer than the bound, nor for anything
    /// once it has failed for as long; but for who came when a try was due, and has made it.
    pub(super) fn gives_up_at(&self, lane: &Lane, since: Instant) -> Instant {
        let ever = later(since, self.times.acquire_within);
        match &lane.failing {
            Some(failing) if lane.is_down() => {
                let tries = failing.retry_at.is_some_and(|at| at <= since);
                let from = if tries {
                    since
                } else {
                    since.min(failing.since)
                };
                ever.min(later(from, self.times.fail_fast_after))
            }
            _ => ever,
        }
    }

    /// Why a newcomer need not wait at all, if so.
    pub(super) fn hopeless(&self, lane: u32, now: Instant) -> Option<AcquireError> {
        let it = &self.lanes[lane];
        if !it.is_down() {
            return None;
        }
        let failing = it.failing.as_ref()?;
        let retry_at = failing.retry_at?;
        let is_covered = it.waiting < it.covered();
        let is_long = later(failing.since, self.times.fail_fast_after) <= now;
        // Who comes when a try is due makes it, though it may be refused itself.
        let is_tried = retry_at > now || it.coming() > 0;
        let is_late = retry_at > now && retry_at >= self.gives_up_at(it, now);
        if (is_long && is_tried) || (is_late && !is_covered) {
            self.down(it, now)
        } else {
            None
        }
    }

    pub(super) fn down(&self, lane: &Lane, now: Instant) -> Option<AcquireError> {
        let failing = lane.failing.as_ref()?;
        let retry_at = failing.retry_at.unwrap_or(now);
        Some(AcquireError::BackendDown(BackendDown {
            name: self.name.clone(),
            cause: failing.cause.clone(),
            retry_in: retry_at.saturating_duration_since(now),
        }))
    }

    pub(super) fn closed_error(&self) -> AcquireError {
        AcquireError::Closed(Closed {
            name: self.name.clone(),
        })
    }

    pub(super) fn timed_out(&self, lane: &Lane, waited: Duration) -> AcquireError {
        AcquireError::TimedOut(TimedOut {
            name: self.name.clone(),
            waited,
            sizes: self.sizes(),
            cause: lane.failing.as_ref().map(|failing| failing.cause.clone()),
        })
    }
}
