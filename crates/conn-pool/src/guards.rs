//! What tasks hold, so that however they end the book hears of it.

use std::error::Error;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::book::Lend;
use crate::connection::Connection;
use crate::desk::Desk;
use crate::error::{Cause, ConnectAborted, ShortLived};

/// Says that there is no housekeeper any more, however it ended.
pub(crate) struct Attendance<R: Lend + Deref<Target: Connection>> {
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) name: Option<Arc<str>>,
}

/// A slot in which a connection is being made: made or failed, and never forgotten.
pub(crate) struct Reservation<R: Lend> {
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) slot: u32,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) pending: bool,
}

/// A slot whose connection is being closed.
pub(crate) struct Leaving<R: Lend> {
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) slot: u32,
}

/// A connection that is being checked; failed unless it passes.
pub(crate) struct Checking<R: Lend> {
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) slot: u32,
    pub(crate) one: Option<R>,
    pub(crate) passed: bool,
}

/// They did not drain in time.
pub(crate) fn abort_all<R>(desk: &Desk<R>, ones: Vec<R>, name: Option<&str>)
where
    R: Lend + Deref<Target: Connection>,
{
    for one in ones {
        warn!(name, "connection did not drain");
        // Its panics, also those of its `Drop`, are no reason not to abort the next.
        let _ = catch_unwind(AssertUnwindSafe(move || one.abort()));
        desk.enter(|book, fx| book.aborted(1, fx));
    }
}

impl<R: Lend + Deref<Target: Connection>> Reservation<R> {
    pub(crate) fn fill(mut self, one: R) {
        // Foreign, so before the slot is taken for filled: if it panics, connecting has failed.
        let max_leases = one.max_leases().get();
        self.pending = false;
        let (jitter, now) = (rand::random(), Instant::now());
        self.desk
            .enter(|book, fx| book.connected(self.slot, one, max_leases, jitter, now, fx));
    }
}

impl<R: Lend> Reservation<R> {
    /// It was made, and is broken.
    pub(crate) fn spoil(mut self, one: R) {
        self.pending = false;
        let lived = Duration::ZERO;
        let cause: Cause = Arc::new(ShortLived { lived });
        self.log(&cause);
        let now = Instant::now();
        self.desk
            .enter(|book, fx| book.stillborn(self.slot, one, cause, now, fx));
    }

    pub(crate) fn fail(mut self, cause: Cause) {
        self.settle(cause);
    }

    fn settle(&mut self, cause: Cause) {
        self.pending = false;
        self.log(&cause);
        let now = Instant::now();
        self.desk
            .enter(|book, fx| book.failed(self.slot, cause, now, fx));
    }

    fn log(&self, cause: &Cause) {
        let (name, error) = (self.name.as_deref(), &**cause as &dyn Error);
        debug!(name, error, "could not connect");
    }
}

impl<R: Lend> Checking<R> {
    pub(crate) fn end(mut self, passed: bool) {
        self.passed = passed;
    }
}

impl<R: Lend> Drop for Reservation<R> {
    fn drop(&mut self) {
        if self.pending {
            let panicked = thread::panicking();
            self.settle(Arc::new(ConnectAborted { panicked }));
        }
    }
}

impl<R: Lend + Deref<Target: Connection>> Drop for Attendance<R> {
    fn drop(&mut self) {
        let now = Instant::now();
        let aborts = self.desk.enter(|book, fx| book.leave_unattended(now, fx));
        abort_all(&self.desk, aborts, self.name.as_deref());
    }
}

impl<R: Lend> Drop for Leaving<R> {
    fn drop(&mut self) {
        self.desk.enter(|book, fx| book.closed(self.slot, fx));
    }
}

impl<R: Lend> Drop for Checking<R> {
    fn drop(&mut self) {
        if let Some(one) = self.one.take() {
            let now = Instant::now();
            self.desk
                .enter(|book, fx| book.checked(self.slot, one, self.passed, now, fx));
        }
    }
}
