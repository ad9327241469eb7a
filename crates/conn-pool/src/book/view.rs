use tokio::time::Instant;

use super::slot::State;
use super::{Book, Lend, ONLY};
use crate::error::{AcquireError, Sizes};
use crate::snapshot::Snapshot;

impl<R: Lend> Book<R> {
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

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closed, and all connections are gone.
    pub(crate) const fn is_drained(&self) -> bool {
        self.closed && self.census.total() == 0 && !self.is_aborting()
    }

    pub(crate) const fn is_aborting(&self) -> bool {
        self.aborting > 0 || !self.aborts.is_empty()
    }

    pub(super) fn waiting_in_all(&self) -> u32 {
        let waiting = self.waiting.iter().map(|&lane| self.lanes[lane].waiting);
        waiting.sum()
    }
}
