use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Differs from process to process, as the keys of the standard library's hash maps do.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
static DRAWS: AtomicU64 = AtomicU64::new(0);

/// Has the seed ready: making it needs a thread that is not about to end.
pub(crate) fn prepare() {
    LazyLock::force(&SEED);
}

/// A number from 0 to 1, for jitter: SplitMix64 (Steele, Lea and Flood, 2014), of which all draws of the
/// process are one sequence.
pub(crate) fn draw() -> f64 {
    let draw = DRAWS.fetch_add(1, Ordering::Relaxed);
    let mut bits = SEED.wrapping_add(draw.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    // As many bits as a float between 0 and 1 can tell apart.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
