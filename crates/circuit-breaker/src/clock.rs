use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

/// Tells times in one word each, counted from when a circuit was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    made: Instant,
}

/// A time: the nanoseconds since the circuit was made, and one. They last for five hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU64);

impl Clock {
    pub(crate) const fn new(made: Instant) -> Self {
        Self { made }
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.tick(Instant::now())
    }

    #[inline]
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        let nanos = at.saturating_duration_since(self.made).as_nanos() as u64;
        Tick(NonZeroU64::MIN.saturating_add(nanos))
    }
}

impl Tick {
    pub(crate) const fn nanos(self) -> u64 {
        self.0.get() - 1
    }

    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}
