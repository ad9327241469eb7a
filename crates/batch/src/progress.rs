use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// How far a map or a stage is, to be looked at from anywhere: a progress bar, a log.
///
/// It stays readable when the map has ended or was dropped.
#[derive(Clone, Default)]
pub struct Progress(Arc<Counts>);

/// How far a map is, in items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressSnapshot {
    /// How many have ended well.
    pub done: u64,
    /// How many have failed, or panicked.
    pub failed: u64,
    /// How many are being worked on.
    pub in_flight: u64,
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicU64,
}

impl Progress {
    /// The numbers of now. They are brought up to date whenever the map has been polled.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        ProgressSnapshot {
            done: self.0.done.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            in_flight: self.0.in_flight.load(Ordering::Relaxed),
        }
    }

    /// There is one writer, so these are plain stores.
    pub(crate) fn set(&self, now: ProgressSnapshot) {
        self.0.done.store(now.done, Ordering::Relaxed);
        self.0.failed.store(now.failed, Ordering::Relaxed);
        self.0.in_flight.store(now.in_flight, Ordering::Relaxed);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.snapshot(), f)
    }
}
