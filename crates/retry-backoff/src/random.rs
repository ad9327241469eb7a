use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// SplitMix64: eight bytes of state, so that each request can afford a generator of its own.
#[derive(Debug)]
pub(crate) struct Random(u64);

/// How far its state goes with each draw.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Unlike every other: std gives each `RandomState` keys of its own.
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high);
        let values = u128::from(high - low) + 1;
        // Less than `values`, and so no more than `high - low`.
        let drawn = (u128::from(self.draw()) * values) >> 64;
        low + drawn as u64
    }
}
