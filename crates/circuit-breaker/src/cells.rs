use crate::sync::{AtomicU64, Ordering::Relaxed, Striped};

/// How many tags a stripe tells apart.
pub(crate) const RING: usize = 16;

/// A cell is a word: the tag, and below it how many calls were counted under that.
const COUNT_BITS: u32 = 20;
pub(crate) const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Counts under tags that only rise, in words of which each has one writer, but for those of the last
/// stripe.
///
/// Tag and count are one word, so none is ever seen with the other's old value, and counting under a
/// new tag is a plain store. All is relaxed: a count leads to no other memory, and those who have to
/// see it, since they come after it, do.
#[derive(Debug)]
pub(crate) struct Cells {
    stripes: Striped<[AtomicU64; RING]>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Counted, as others before under this tag.
    Again,
    /// Counted, as the first of this stripe under this tag.
    First,
    /// Not counted: it came with an older tag than others of this stripe.
    Late,
    /// Not counted: the cell is full, and must be taken first.
    Full,
}

impl Cells {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            stripes: Striped::new(threads),
        }
    }

    pub(crate) fn count(&self, tag: u64) -> Counted {
        let mine = self.stripes.mine();
        let cell = &mine[tag as usize % RING];
        let mut old = cell.load(Relaxed);
        loop {
            let old_tag = old >> COUNT_BITS;
            let (new, counted) = if old_tag == tag {
                if old & MAX_COUNT == MAX_COUNT {
                    return Counted::Full;
                }
                (old + 1, Counted::Again)
            } else if old_tag < tag {
                (tag << COUNT_BITS | 1, Counted::First)
            } else {
                return Counted::Late;
            };
            if mine.is_own() {
                cell.store(new, Relaxed);
                return counted;
            }
            match cell.compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return counted,
                Err(newer) => old = newer,
            }
        }
    }

    /// Serialised with itself and with `take`, which the caller does by a lock, it is the true sum of
    /// some moment while it ran.
    pub(crate) fn sum(&self, first: u64, last: u64) -> u64 {
        let cells = self.stripes.iter().flatten();
        cells
            .map(|cell| cell.load(Relaxed))
            .filter(|word| (first..=last).contains(&(word >> COUNT_BITS)))
            .map(|word| word & MAX_COUNT)
            .sum()
    }

    pub(crate) fn take(&self, tag: u64) -> u64 {
        let mine = self.stripes.mine();
        let cell = &mine[tag as usize % RING];
        let emptied = tag << COUNT_BITS;
        let taken = cell.fetch_update(Relaxed, Relaxed, |word| {
            (word >> COUNT_BITS == tag).then_some(emptied)
        });
        taken.map_or(0, |word| word & MAX_COUNT)
    }
}
