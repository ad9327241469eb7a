use std::{error::Error, fmt, time::Duration};

/// How long an answer lives: how long it is fresh, and for how long after that it may still be given.
///
/// The time begins when the answer has come, not when it was asked for. By default nothing is given
/// that is not fresh, and nothing is refreshed before its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ttl {
    pub(crate) fresh: Duration,
    pub(crate) while_revalidating: Duration,
    pub(crate) if_error: Duration,
    pub(crate) jitter: f64,
    pub(crate) beta: f64,
}

/// What is wrong with a [`Ttl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTtl(&'static str);

impl Ttl {
    /// The greatest factor of [`Ttl::with_early_refresh`].
    pub const MAX_BETA: f64 = 1_000.0;

    /// Fresh for so long. 584 years and more are for ever.
    ///
    /// # Errors
    /// If `fresh` is zero.
    pub const fn new(fresh: Duration) -> Result<Self, InvalidTtl> {
        if fresh.is_zero() {
            return Err(InvalidTtl("an answer must be fresh for some time"));
        }
        Ok(Self {
            fresh,
            while_revalidating: Duration::ZERO,
            if_error: Duration::ZERO,
            jitter: 0.0,
            beta: 0.0,
        })
    }

    /// For so long after it was fresh, an answer is still given at once, while one refresh runs in the
    /// background: `stale-while-revalidate` of RFC 5861.
    #[must_use]
    pub const fn with_stale_while_revalidate(mut self, time: Duration) -> Self {
        self.while_revalidating = time;
        self
    }

    /// For so long after it was fresh, an answer is still given when a load fails: `stale-if-error` of
    /// RFC 5861. Independent of [`Ttl::with_stale_while_revalidate`].
    #[must_use]
    pub const fn with_stale_if_error(mut self, time: Duration) -> Self {
        self.if_error = time;
        self
    }

    /// Each answer is fresh for a random part less, up to this: then what was loaded at one time is
    /// not loaded again at one time. 0.1 is up to a tenth less.
    ///
    /// # Errors
    /// If `part` is not from 0 to 1.
    pub const fn with_jitter(mut self, part: f64) -> Result<Self, InvalidTtl> {
        if !(part >= 0.0 && part <= 1.0) {
            return Err(InvalidTtl("the jitter must be from 0 to 1"));
        }
        self.jitter = part;
        Ok(self)
    }

    /// Each call that finds a fresh answer refreshes it early with a probability that rises as the end
    /// comes near: with a time `t` left, `exp(-t / (beta * load time))`. This is XFetch (Vattani,
    /// Chierichetti and Lowenstein, VLDB 2015), for which 1 is the best `beta`; 0 is never, as by
    /// default. Within one cache a single refresh runs anyway; it is across many that this matters.
    ///
    /// # Errors
    /// If `beta` is not from 0 to [`Ttl::MAX_BETA`].
    pub const fn with_early_refresh(mut self, beta: f64) -> Result<Self, InvalidTtl> {
        if !(beta >= 0.0 && beta <= Self::MAX_BETA) {
            return Err(InvalidTtl("the beta must be from 0 to 1,000"));
        }
        self.beta = beta;
        Ok(self)
    }
}

impl fmt::Display for InvalidTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid time to live: {}", self.0)
    }
}

impl Error for InvalidTtl {}
