/// Retries of the last steps in time.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    ring: [Slice; SLICES as usize],
}

/// In how many steps what is older is forgotten.
pub(crate) const SLICES: u64 = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    tick: u64,
    retries: u64,
}

impl Retries {
    pub(crate) fn add(&mut self, now: u64) {
        let slice = &mut self.ring[(now % SLICES) as usize];
        if slice.tick < now {
            *slice = Slice {
                tick: now,
                retries: 0,
            };
        }
        // Of a clock that is behind, it counts in whatever has taken its place: it is not lost.
        slice.retries += 1;
    }

    /// Into the slice it was taken from, so that both are forgotten together.
    pub(crate) fn give_back(&mut self, then: u64) {
        let slice = &mut self.ring[(then % SLICES) as usize];
        if slice.tick == then {
            slice.retries = slice.retries.saturating_sub(1);
        }
    }

    pub(crate) fn sum(&self, first: u64) -> u64 {
        let live = self.ring.iter().filter(|it| it.tick >= first);
        live.map(|it| it.retries).sum()
    }
}
