use std::{error::Error, fmt, time::Duration};

/// How long a circuit stays open: twice as long each time it opens, up to a maximum.
///
/// A spell of health takes one doubling back: a circuit that was closed for ten spells starts from
/// the first time again. The times are drawn between `1 - jitter` of that and all of it, so that
/// many circuits which opened together do not probe together, and none is open for longer than the
/// maximum. A [`Failure`](crate::Failure) that says when to come back can lengthen it, up to the
/// maximum.
///
/// By default 5 s, doubled up to 60 s, jitter 0.2, one doubling taken back for each 60 s closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenTime {
    first: Duration,
    max: Duration,
    jitter: f64,
    healthy_spell: Duration,
}

/// What is wrong with an [`OpenTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOpenTime(&'static str);

impl OpenTime {
    /// The longest time that a circuit can be told to stay open.
    pub const MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Open for `first`, then for twice that, and so on up to `max`.
    ///
    /// # Errors
    /// If `first` is zero or greater than `max`, or `max` greater than [`OpenTime::MAX`].
    pub const fn new(first: Duration, max: Duration) -> Result<Self, InvalidOpenTime> {
        if first.is_zero() {
            return Err(InvalidOpenTime("the first time must not be zero"));
        }
        if first.as_nanos() > max.as_nanos() {
            return Err(InvalidOpenTime(
                "the first time must not be longer than the maximum",
            ));
        }
        if max.as_nanos() > Self::MAX.as_nanos() {
            return Err(InvalidOpenTime(
                "the maximum must not be longer than 365 days",
            ));
        }
        Ok(Self {
            first,
            max,
            jitter: 0.2,
            healthy_spell: Duration::from_secs(60),
        })
    }

    /// The part of the time that is left to chance: 0 for none, 1 for all of it.
    ///
    /// # Errors
    /// If `jitter` is not within 0 and 1.
    pub const fn with_jitter(mut self, jitter: f64) -> Result<Self, InvalidOpenTime> {
        // Said so that it is false for NaN.
        if jitter >= 0.0 && jitter <= 1.0 {
            self.jitter = jitter;
            Ok(self)
        } else {
            Err(InvalidOpenTime("the jitter must be within 0 and 1"))
        }
    }

    /// How long the circuit must be closed for one doubling to be taken back.
    ///
    /// # Errors
    /// If `spell` is zero.
    pub const fn with_healthy_spell(mut self, spell: Duration) -> Result<Self, InvalidOpenTime> {
        if spell.is_zero() {
            return Err(InvalidOpenTime("the healthy spell must not be zero"));
        }
        self.healthy_spell = spell;
        Ok(self)
    }

    /// The time after `doublings`, lengthened to what the service asked for, where `chance` is drawn
    /// from 0 to 1.
    pub(crate) fn after(&self, doublings: u32, asked: Duration, chance: f64) -> Duration {
        let time = self.doubled(doublings);
        let jittered = time - time.mul_f64(self.jitter * chance).min(time);
        jittered.max(asked.min(self.max))
    }

    /// One doubling more, unless the maximum is reached: those beyond would only have to be taken back.
    pub(crate) fn next(&self, doublings: u32) -> u32 {
        doublings + u32::from(self.doubled(doublings) < self.max)
    }

    fn doubled(&self, doublings: u32) -> Duration {
        let nanos = self.first.as_nanos() << doublings.min(63);
        // The maximum is below five hundred years, which is what 64 bits are.
        Duration::from_nanos(nanos.min(self.max.as_nanos()) as u64)
    }

    /// What is left of `doublings` after the circuit was closed for that long.
    pub(crate) fn recovered(&self, doublings: u32, closed_for: Duration) -> u32 {
        let spells = closed_for.as_nanos() / self.healthy_spell.as_nanos();
        doublings.saturating_sub(u32::try_from(spells).unwrap_or(u32::MAX))
    }
}

impl Default for OpenTime {
    fn default() -> Self {
        const { Self::new(Duration::from_secs(5), Duration::from_secs(60)) }
            .expect("5 s is neither zero nor longer than 60 s")
    }
}

impl fmt::Display for InvalidOpenTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid open time of a circuit breaker: {}", self.0)
    }
}

impl Error for InvalidOpenTime {}
