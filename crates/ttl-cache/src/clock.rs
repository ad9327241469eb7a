use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::tick::{Tick, nanos};

/// The time: read from the system, or looked up while somebody writes it down.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// What was last written down; zero while nobody does.
    written: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            written: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match self.written.load(Ordering::Relaxed) {
            0 => self.read(),
            written => Tick(written),
        }
    }

    /// The time itself. Whoever needed it writes it down for the others, if somebody does.
    pub(crate) fn exact(&self) -> Tick {
        let now = self.read();
        let written = self.written.load(Ordering::Relaxed);
        if written != 0 && written < now.0 {
            // Not if it has changed: zero is to stay.
            let order = Ordering::Relaxed;
            let _ = self.written.compare_exchange(written, now.0, order, order);
        }
        now
    }

    /// Never zero.
    #[inline]
    fn read(&self) -> Tick {
        let since = Instant::now().saturating_duration_since(self.start);
        Tick(nanos(since) + 1)
    }

    pub(crate) fn instant(&self, tick: Tick) -> Option<Instant> {
        self.start.checked_add(tick.since(Tick(1)))
    }

    /// Writes the time down, for hits to look at.
    pub(crate) fn write(&self) {
        self.written.store(self.read().0, Ordering::Relaxed);
    }

    /// Has hits ask the system again.
    pub(crate) fn stop(&self) {
        self.written.store(0, Ordering::Relaxed);
    }
}
