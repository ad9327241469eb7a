use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

use crate::{
    cells::{self, Cells, Counted},
    clock::{Clock, Tick},
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
    clock: Clock,
    /// When the first step began, in nanoseconds.
    origin: AtomicU64,
    last_step: AtomicU64,
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
    pub(crate) fn new(shape: Shape, threads: usize, clock: Clock) -> Self {
        let step = match shape.span {
            Span::Calls(_) => None,
            Span::Time(length) => NonZeroU64::new(length.as_nanos() as u64 / STEPS),
        };
        Self {
            shape,
            step,
            clock,
            origin: AtomicU64::new(0),
            last_step: AtomicU64::new(0),
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
        let now = self.clock.tick(now);
        let skipped = self.step(now) / cells::RING as u64 + 1;
        self.origin.store(now.nanos(), Ordering::Relaxed);
        skipped
    }

    /// The number of the step, and how it is told from that of another generation: a later one is a
    /// whole window further on, at least.
    pub(crate) fn tag(&self, generation: u64, now: Option<Tick>) -> u64 {
        match now {
            Some(now) if self.has_steps() => self.step(now) + generation * cells::RING as u64,
            _ => generation,
        }
    }

    pub(crate) fn tag_at(&self, generation: u64, now: Instant) -> u64 {
        self.tag(generation, Some(self.clock.tick(now)))
    }

    fn step(&self, now: Tick) -> u64 {
        let Some(length) = self.step else { return 0 };
        let origin = self.origin.load(Ordering::Relaxed);
        let elapsed = now.nanos().saturating_sub(origin);
        // Mostly it is the step of the last call, which costs less to check than to divide.
        let last = self.last_step.load(Ordering::Relaxed);
        if elapsed.wrapping_sub(last.wrapping_mul(length.get())) < length.get() {
            return last;
        }
        let step = elapsed / length;
        self.last_step.store(step, Ordering::Relaxed);
        step
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
