use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

use crate::{
    cells::{self, Cells, Counted},
    sync::{AtomicU64, Ordering},
    window::Span,
};

/// A window of time is so many steps long, and the meter tells so many more apart: as many as Polly,
/// failsafe-go and linkerd have, fine enough that little expires at once.
pub(crate) const STEPS: u64 = 10;

/// The good calls of one rule's window, each counted by its own thread.
///
/// They are counted under tags that only rise: of the generation, and for a window of time of the
/// step too. So a change of state empties the window with no write to it, and a thread that comes
/// late with an older tag changes nothing.
#[derive(Debug)]
pub(crate) struct Meter {
    shape: Shape,
    /// The length of a step in nanoseconds, of a window of time.
    step: Option<NonZeroU64>,
    made: Instant,
    /// When the first step began, in nanoseconds after it was made.
    origin: AtomicU64,
    cells: Cells,
}

/// What does not change as long as the meter lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) span: Span,
    /// From when on a call is a bad one, if that is what the rule looks at.
    pub(crate) slow_from: Option<Duration>,
}

impl Meter {
    /// With cells for so many threads.
    pub(crate) fn new(shape: Shape, threads: usize, now: Instant) -> Self {
        let step = match shape.span {
            Span::Calls(_) => None,
            Span::Time(length) => NonZeroU64::new(length.as_nanos() as u64 / STEPS),
        };
        Self {
            shape,
            step,
            made: now,
            origin: AtomicU64::new(0),
            cells: Cells::new(threads),
        }
    }

    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) const fn span(&self) -> Span {
        self.shape.span
    }

    /// Whether it counts steps of time, and so must be given the time.
    pub(crate) const fn has_steps(&self) -> bool {
        self.step.is_some()
    }

    /// Has the first step of later generations begin now. Gives how many generations must be left out,
    /// lest their tags fall below those of the steps that there were.
    pub(crate) fn begin(&self, now: Instant) -> u64 {
        let skipped = self.step(now) / cells::RING as u64 + 1;
        self.origin.store(self.nanos(now), Ordering::Relaxed);
        skipped
    }

    /// The number of the step, and how it is told from that of another generation: a later one is a
    /// whole window further on, at least.
    pub(crate) fn tag(&self, generation: u64, now: Option<Instant>) -> u64 {
        match now {
            Some(now) if self.has_steps() => self.step(now) + generation * cells::RING as u64,
            _ => generation,
        }
    }

    fn step(&self, now: Instant) -> u64 {
        let Some(step) = self.step else { return 0 };
        let origin = self.origin.load(Ordering::Relaxed);
        self.nanos(now).saturating_sub(origin) / step
    }

    /// 64 bits are enough for five hundred years.
    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.made).as_nanos() as u64
    }

    /// Counts a good call.
    pub(crate) fn count(&self, tag: u64) -> Counted {
        self.cells.count(tag)
    }

    /// The calls counted under tags from the first to the last, which are less than a ring apart.
    pub(crate) fn sum(&self, first: u64, last: u64) -> u64 {
        self.cells.sum(first, last)
    }

    /// Takes away what this thread has counted under a tag.
    pub(crate) fn take(&self, tag: u64) -> u64 {
        self.cells.take(tag)
    }
}
