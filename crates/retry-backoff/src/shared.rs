use std::fmt;
use std::ops::Deref;

use crate::sync::{AtomicU64, Ordering, Striped};

/// A handle to a value, as an `Arc` is, but cloned for each request: so each thread counts clones and
/// drops on a line of its own, and neither is a locked instruction.
///
/// The price is that nobody knows when the last handle goes. The value is never freed, but found
/// later, when one like it is wanted: see [`Core::is_unused`].
pub(crate) struct Shared<T: 'static> {
    core: &'static Core<T>,
}

/// What handles point to. It stays where it is for ever.
#[derive(Debug)]
pub(crate) struct Core<T> {
    value: Apart<T>,
    counts: Striped<Counts>,
}

/// Away from what every thread reads: writing it is not to slow those down.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// How many handles a thread has made and dropped; only ever more.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    dropped: AtomicU64,
}

impl<T> Core<T> {
    /// Whose handles so many threads count apart.
    pub(crate) fn new(value: T, threads: usize) -> Self {
        Self {
            value: Apart(value),
            counts: Striped::new(threads),
        }
    }

    /// Whether no handle exists. That stays so, since a handle is only made from another, until the
    /// caller makes one: callers must take turns.
    ///
    /// Dropped ones are read first. Take the handles whose drop is seen: what led to such a drop is
    /// seen after it, and so are the makings of all of them, and those of whatever was cloned from
    /// them. Now if a handle exists, its line of descent leads from the first handle, whose making
    /// is seen, to one whose drop is not; the first such one was made from one whose drop is seen,
    /// and so its making is seen too, and the sums differ. Read the other way round, a handle could
    /// be cloned and the one it came from dropped in between, unnoticed.
    pub(crate) fn is_unused(&self) -> bool {
        // Acquire: it pairs with the Release of each drop.
        let dropped = self.sum(|counts| counts.dropped.load(Ordering::Acquire));
        let made = self.sum(|counts| counts.made.load(Ordering::Relaxed));
        made == dropped
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.counts.iter().map(of).fold(0, u64::wrapping_add)
    }
}

impl<T> Shared<T> {
    /// The first handle to what none exists to.
    pub(crate) fn first(core: &'static Core<T>) -> Self {
        let shared = Self { core };
        // It counts as any other.
        shared.count(|counts| &counts.made, Ordering::Relaxed);
        shared
    }

    #[inline]
    fn count(&self, of: impl Fn(&Counts) -> &AtomicU64, ordering: Ordering) {
        let mine = self.core.counts.mine();
        let counter = of(&mine);
        if mine.is_own() {
            // Nobody else writes here; whoever did has ended before.
            let count = counter.load(Ordering::Relaxed);
            counter.store(count.wrapping_add(1), ordering);
        } else {
            counter.fetch_add(1, ordering);
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.core.value.0
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.count(|counts| &counts.made, Ordering::Relaxed);
        Self { core: self.core }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // Release: whoever sees it sees what this handle, and those made from it, were used for.
        self.count(|counts| &counts.dropped, Ordering::Release);
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.value.0.fmt(f)
    }
}
