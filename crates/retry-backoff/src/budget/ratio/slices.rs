/// What a retry costs where a request deposits thousandths.
pub(crate) const COST: i64 = 1_000;

/// Requests and retries of the last steps in time.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    ring: [Slice; Self::COUNT as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    tick: u64,
    requests: u32,
    retries: u32,
}

impl Slices {
    pub(crate) const COUNT: u32 = 10;

    pub(crate) fn deposit(&mut self, now: u64) {
        if let Some(slice) = self.slice(now) {
            slice.requests = slice.requests.saturating_add(1);
        }
    }

    pub(crate) fn withdraw(&mut self, now: u64, ratio: u32, reserve: i64) -> bool {
        if self.balance(now, ratio) + reserve < COST {
            return false;
        }
        if let Some(slice) = self.slice(now) {
            slice.retries = slice.retries.saturating_add(1);
        }
        true
    }

    /// Into the slice it was taken from, so that both are forgotten together.
    pub(crate) fn give_back(&mut self, now: u64, then: u64) {
        if let Some(slice) = self.live(now).find(|slice| slice.tick == then) {
            slice.retries = slice.retries.saturating_sub(1);
        }
    }

    pub(crate) fn balance(&mut self, now: u64, ratio: u32) -> i64 {
        self.live(now)
            .map(|it| i64::from(it.requests) * i64::from(ratio) - i64::from(it.retries) * COST)
            .sum()
    }

    /// Of this tick, emptied if it was of another; none if others have come a whole round further
    /// since the clock was read.
    fn slice(&mut self, now: u64) -> Option<&mut Slice> {
        let slice = &mut self.ring[(now % u64::from(Self::COUNT)) as usize];
        if slice.tick < now {
            *slice = Slice {
                tick: now,
                ..Slice::default()
            };
        }
        (slice.tick == now).then_some(slice)
    }

    fn live(&mut self, now: u64) -> impl Iterator<Item = &mut Slice> {
        let count = u64::from(Self::COUNT);
        self.ring.iter_mut().filter(move |it| it.tick + count > now)
    }
}

#[cfg(test)]
mod tests;
