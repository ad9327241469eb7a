use crate::sync::{AtomicU64, Ordering, Striped};

/// What has happened in the last steps in time, counted by each thread in cells of its own.
///
/// A cell is one word, tick and count together, so that it is emptied by the first count of a new
/// tick and never torn. All orderings are Relaxed: a sum may lack the latest of what other threads
/// count, but is never more than has been counted.
#[derive(Debug)]
pub(crate) struct Counted {
    cells: Striped<[AtomicU64; SLOTS as usize]>,
}

/// More than the ticks that count, so that none of those is overwritten by a thread whose clock is
/// ahead.
const SLOTS: u64 = 16;

/// A quarter of a billion for each thread and tick; above they are not counted.
const COUNT_BITS: u32 = 28;
pub(crate) const COUNT: u64 = (1 << COUNT_BITS) - 1;

impl Counted {
    /// Which so many threads count apart.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            cells: Striped::new(threads),
        }
    }

    /// By whoever has it alone.
    pub(crate) fn clear(&self) {
        for cell in self.cells() {
            cell.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn add(&self, now: u64) {
        let mine = self.cells.mine();
        let cell = &mine[(now % SLOTS) as usize];
        let mut word = cell.load(Ordering::Relaxed);
        if mine.is_own() {
            // Nobody else writes here; whoever did has ended before.
            cell.store(counted(word, now), Ordering::Relaxed);
            return;
        }
        while let Err(other) = cell.compare_exchange_weak(
            word,
            counted(word, now),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            word = other;
        }
    }

    /// One of this tick has not been. For what all threads count together.
    pub(crate) fn take_back(&self, then: u64) {
        let mine = self.cells.mine();
        debug_assert!(!mine.is_own());
        let cell = &mine[(then % SLOTS) as usize];
        let mut word = cell.load(Ordering::Relaxed);
        while word >> COUNT_BITS == then && word & COUNT > 0 {
            let changed =
                cell.compare_exchange_weak(word, word - 1, Ordering::Relaxed, Ordering::Relaxed);
            match changed {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    /// From `first` to `last`.
    pub(crate) fn sum(&self, first: u64, last: u64) -> u64 {
        let live = |word: u64| (first..=last).contains(&(word >> COUNT_BITS));
        let words = self.cells().map(|cell| cell.load(Ordering::Relaxed));
        words.filter(|it| live(*it)).map(|it| it & COUNT).sum()
    }

    fn cells(&self) -> impl Iterator<Item = &AtomicU64> {
        self.cells.iter().flatten()
    }
}

/// The word after one more at this tick.
pub(crate) const fn counted(word: u64, now: u64) -> u64 {
    let tick = word >> COUNT_BITS;
    if tick < now {
        now << COUNT_BITS | 1
    } else if tick == now && word & COUNT < COUNT {
        word + 1
    } else {
        // Of a clock that is a whole round behind, or too many.
        word
    }
}
