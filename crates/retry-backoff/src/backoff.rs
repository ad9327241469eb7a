use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::random::{Random, STEP};

/// The same delay before each retry; none at all, if it is zero.
///
/// Whoever failed together comes back together: where many clients share a server, take an
/// [`ExponentialBackoff`], whose `initial` and `max` may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ConstantBackoff(Duration);

/// Delays that grow from `initial` to `max`, spread by [`Jitter`].
///
/// It is a value. Each request turns it into [`Delays`] of its own ([`IntoIterator`]), which draw
/// independently of all others.
///
/// | knob | default |
/// |---|---|
/// | [`with_multiplier`](Self::with_multiplier) | 2 |
/// | [`with_jitter`](Self::with_jitter) | [`Jitter::Full`] |
///
/// ```
/// # use mainstay_retry_backoff::{ExponentialBackoff, Jitter};
/// # use std::time::Duration;
/// const BACKOFF: ExponentialBackoff =
///     match ExponentialBackoff::new(Duration::from_millis(50), Duration::from_secs(20)) {
///         Ok(backoff) => backoff.with_jitter(Jitter::Equal),
///         Err(_) => panic!("not a backoff"),
///     };
/// let first = BACKOFF.into_iter().next().unwrap();
/// assert!(first >= Duration::from_millis(25) && first <= Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ExponentialBackoff {
    initial: Duration,
    max: Duration,
    /// In thousandths.
    multiplier: u32,
    jitter: Jitter,
}

/// How delays are spread, so that requests which failed together do not come back together.
///
/// `v` is the delay without jitter: `initial`, and then `multiplier` times the one before, up to
/// `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// `v` itself.
    None,
    /// Anything from nothing to `v`, as the AWS SDKs have it. With some numbers of clients equal or
    /// decorrelated jitter costs a contended server fewer calls; none does with all.
    #[default]
    Full,
    /// Half of `v`, and anything up to the other half.
    Equal,
    /// Anything from `initial` to three times the delay before, but no more than `max`; the
    /// multiplier has no part in it.
    Decorrelated,
    /// `v` times 0.8 to 1.2, as gRPC demands: the one kind that may exceed `max`, by a fifth.
    Grpc,
}

/// An [`ExponentialBackoff`] that draws the same delays in each run of a test.
///
/// Each request has still a generator of its own: seeds are handed out in the order in which
/// requests come to their first delay, among all clones.
#[derive(Clone, Debug)]
#[must_use]
pub struct SeededBackoff {
    backoff: ExponentialBackoff,
    seeds: Seeds,
}

/// The delays of one request, without end.
///
/// A clone begins anew, and draws for itself.
pub struct Delays {
    backoff: ExponentialBackoff,
    /// The next delay before jitter, or the last one after it if that is what the next grows from.
    value: u64,
    random: Option<Random>,
    seeds: Option<Seeds>,
}

/// These numbers make no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBackoff(&'static str);

#[derive(Clone, Debug)]
struct Seeds(Arc<AtomicU64>);

impl ConstantBackoff {
    /// Waits for `delay` before each retry.
    pub const fn new(delay: Duration) -> Self {
        Self(delay)
    }

    /// The delay before each retry.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.0
    }
}

impl ExponentialBackoff {
    /// From `initial` to `max`, doubling, with full jitter.
    ///
    /// # Errors
    /// If `initial` is zero or more than `max`, or `max` is 584 years or more.
    pub const fn new(initial: Duration, max: Duration) -> Result<Self, InvalidBackoff> {
        if initial.is_zero() {
            return Err(InvalidBackoff("the initial delay must not be zero"));
        }
        if initial.as_nanos() > max.as_nanos() {
            return Err(InvalidBackoff(
                "the initial delay must not exceed the maximum",
            ));
        }
        if max.as_nanos() > u64::MAX as u128 {
            return Err(InvalidBackoff("the maximum must be below 584 years"));
        }
        Ok(Self {
            initial,
            max,
            multiplier: 2_000,
            jitter: Jitter::Full,
        })
    }

    /// Grows by this factor from delay to delay; it counts in thousandths.
    ///
    /// # Errors
    /// If it is below 1, above 1,000 or not a number.
    pub const fn with_multiplier(mut self, multiplier: f64) -> Result<Self, InvalidBackoff> {
        if multiplier.is_nan() {
            return Err(InvalidBackoff("the multiplier must be a number"));
        }
        if multiplier < 1.0 || multiplier > 1_000.0 {
            return Err(InvalidBackoff("the multiplier must be from 1 to 1000"));
        }
        self.multiplier = (multiplier * 1_000.0 + 0.5) as u32;
        Ok(self)
    }

    /// Spreads the delays in this way.
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Draws the same delays in each run, for tests.
    pub fn with_seed(self, seed: u64) -> SeededBackoff {
        SeededBackoff {
            backoff: self,
            seeds: Seeds(Arc::new(AtomicU64::new(seed))),
        }
    }

    /// The first delay, before jitter.
    #[must_use]
    pub const fn initial(&self) -> Duration {
        self.initial
    }

    /// No delay is longer, but for [`Jitter::Grpc`].
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// How the delays are spread.
    #[must_use]
    pub const fn jitter(&self) -> Jitter {
        self.jitter
    }

    /// Both fit: `new` has seen to it.
    const fn nanos(&self) -> (u64, u64) {
        (self.initial.as_nanos() as u64, self.max.as_nanos() as u64)
    }
}

impl Delays {
    fn new(backoff: ExponentialBackoff, seeds: Option<Seeds>) -> Self {
        Self {
            value: backoff.nanos().0,
            backoff,
            random: None,
            seeds,
        }
    }

    /// Made at the first draw: most requests never come to one.
    fn random(&mut self) -> &mut Random {
        let seeds = self.seeds.as_ref();
        self.random
            .get_or_insert_with(|| seeds.map_or_else(Random::new, Seeds::random))
    }
}

impl Seeds {
    fn random(&self) -> Random {
        let seed = self.0.fetch_add(STEP, Ordering::Relaxed);
        // A generator that began at the bare seed would repeat its neighbour's draws one step late.
        Random::seeded(Random::seeded(seed).draw())
    }
}

impl IntoIterator for ConstantBackoff {
    type Item = Duration;
    type IntoIter = std::iter::Repeat<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::repeat(self.0)
    }
}

impl IntoIterator for ExponentialBackoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        Delays::new(self, None)
    }
}

impl IntoIterator for SeededBackoff {
    type Item = Duration;
    type IntoIter = Delays;

    fn into_iter(self) -> Delays {
        Delays::new(self.backoff, Some(self.seeds))
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let (initial, max) = self.backoff.nanos();
        let value = self.value;
        // Rounded up: the smallest of delays grows too.
        let grown = (u128::from(value) * u128::from(self.backoff.multiplier)).div_ceil(1_000);
        self.value = u64::try_from(grown).map_or(max, |grown| grown.min(max));
        let delay = match self.backoff.jitter {
            Jitter::None => value,
            Jitter::Full => self.random().between(0, value),
            Jitter::Equal => self.random().between(value / 2, value),
            Jitter::Decorrelated => {
                let drawn = self.random().between(initial, value.saturating_mul(3));
                self.value = drawn.min(max);
                self.value
            }
            Jitter::Grpc => {
                let fifth = value / 5;
                self.random()
                    .between(value - fifth, value.saturating_add(fifth))
            }
        };
        Some(Duration::from_nanos(delay))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// Not derived: a copied generator would draw the delays of the one that it was copied from.
impl Clone for Delays {
    fn clone(&self) -> Self {
        Self::new(self.backoff, self.seeds.clone())
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// From 50 ms to 20 s.
impl Default for ExponentialBackoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            max: Duration::from_secs(20),
            multiplier: 2_000,
            jitter: Jitter::Full,
        }
    }
}

impl fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidBackoff {}

#[cfg(test)]
mod tests;
