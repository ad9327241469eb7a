use super::Counts;

/// The last N outcomes: a ring of bits, and the totals kept by taking away what leaves it.
#[derive(Debug)]
pub(crate) struct CallWindow {
    /// A set bit is a bad call.
    ring: Box<[u64]>,
    capacity: u32,
    /// The bit that the next outcome is written to: the oldest one, once the ring is full.
    next: u32,
    counts: Counts,
}

impl CallWindow {
    pub(crate) fn new(capacity: u32) -> Self {
        let words = capacity.div_ceil(u64::BITS) as usize;
        Self {
            ring: vec![0; words].into_boxed_slice(),
            capacity,
            next: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn push(&mut self, bad: bool) {
        let word = &mut self.ring[(self.next / u64::BITS) as usize];
        let bit = 1 << (self.next % u64::BITS);
        if self.counts.calls == u64::from(self.capacity) {
            self.counts.bad -= u64::from(*word & bit != 0);
        } else {
            self.counts.calls += 1;
        }
        *word = if bad { *word | bit } else { *word & !bit };
        self.counts.bad += u64::from(bad);
        self.next = (self.next + 1) % self.capacity;
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn clear(&mut self) {
        // The bits may stay: none is looked at before it is written again.
        self.next = 0;
        self.counts = Counts::default();
    }
}

#[cfg(test)]
mod tests;
