use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// How long things may take, and how often they are done.
///
/// | | by default |
/// |---|---|
/// | waiting for a connection | 5 s |
/// | waiting for one while the backend is down | 1 s |
/// | connecting | 60 s |
/// | lifetime, cut by up to 10 % so that those made together do not end together | 30 min |
/// | idle, while there are more than `min_size` | 10 min |
/// | idle before a check precedes the next lease | 1 s |
/// | a check | 1 s |
/// | between times that those not lent are asked whether they are broken | 1 s |
/// | between checks in the background | none are made |
/// | draining: from retirement to the last lease's end | 30 s |
/// | closing | 5 s |
/// | lent before it is taken for a leak | not watched |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub(crate) acquire_within: Duration,
    pub(crate) fail_fast_after: Duration,
    pub(crate) connect_within: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) idle_for: Duration,
    pub(crate) check_after_idle: Duration,
    pub(crate) check_within: Duration,
    pub(crate) sweep_every: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) drain_within: Duration,
    pub(crate) close_within: Duration,
    pub(crate) warn_after: Option<Duration>,
}

/// A time that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimes(&'static str);

impl Times {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            acquire_within: Duration::from_secs(5),
            fail_fast_after: Duration::from_secs(1),
            connect_within: Duration::from_secs(60),
            lifetime: Duration::from_secs(30 * 60),
            idle_for: Duration::from_secs(10 * 60),
            check_after_idle: Duration::from_secs(1),
            check_within: Duration::from_secs(1),
            sweep_every: Duration::from_secs(1),
            keep_alive: None,
            drain_within: Duration::from_secs(30),
            close_within: Duration::from_secs(5),
            warn_after: None,
        }
    }

    /// How long a caller waits for a connection before it is told [`TimedOut`](crate::TimedOut).
    ///
    /// # Errors
    /// If it is zero: [`try_acquire`](crate::Pool::try_acquire) is for that.
    pub const fn with_acquire_within(mut self, within: Duration) -> Result<Self, InvalidTimes> {
        if within.is_zero() {
            return Err(InvalidTimes("the time to acquire must not be zero"));
        }
        self.acquire_within = within;
        Ok(self)
    }

    /// How long a caller waits while no connection is left and connecting fails, before it is told
    /// [`BackendDown`](crate::BackendDown). Once connecting has failed for as long, callers are told so
    /// at once, until a connection is there; but for the one that comes when another try is due, which
    /// waits for it. Zero refuses at once from the first failure on.
    #[must_use]
    pub const fn with_fail_fast_after(mut self, after: Duration) -> Self {
        self.fail_fast_after = after;
        self
    }

    /// How long connecting may take.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_connect_within(mut self, within: Duration) -> Result<Self, InvalidTimes> {
        if within.is_zero() {
            return Err(InvalidTimes("the time to connect must not be zero"));
        }
        self.connect_within = within;
        Ok(self)
    }

    /// How old a connection becomes.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_lifetime(mut self, lifetime: Duration) -> Result<Self, InvalidTimes> {
        if lifetime.is_zero() {
            return Err(InvalidTimes("the lifetime must not be zero"));
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// How long a connection that is not needed for `min_size` stays idle.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_idle_for(mut self, idle_for: Duration) -> Result<Self, InvalidTimes> {
        if idle_for.is_zero() {
            return Err(InvalidTimes("the idle time must not be zero"));
        }
        self.idle_for = idle_for;
        Ok(self)
    }

    /// A connection that was idle for longer is checked before it is lent. Zero checks each that was
    /// idle; one that is new, or goes from one caller to the next, or is shared and in use, is not.
    #[must_use]
    pub const fn with_check_after_idle(mut self, after: Duration) -> Self {
        self.check_after_idle = after;
        self
    }

    /// How long a check may take.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_check_within(mut self, within: Duration) -> Result<Self, InvalidTimes> {
        if within.is_zero() {
            return Err(InvalidTimes("the time to check must not be zero"));
        }
        self.check_within = within;
        Ok(self)
    }

    /// How often connections are asked in the background whether they
    /// [are broken](crate::Connection::is_broken): idle ones, and shared ones always. One that dies
    /// while it is idle is closed, and replaced if it is needed, that much later; or up to half as much
    /// again if it was in use just before.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_sweep_every(mut self, every: Duration) -> Result<Self, InvalidTimes> {
        if every.is_zero() {
            return Err(InvalidTimes("the time between sweeps must not be zero"));
        }
        self.sweep_every = every;
        Ok(self)
    }

    /// How often connections are checked in the background: idle ones, and shared ones always. Each
    /// has up to 10 % of it cut off, so that those made together are not checked together.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_keep_alive(mut self, every: Duration) -> Result<Self, InvalidTimes> {
        if every.is_zero() {
            return Err(InvalidTimes("the keep-alive time must not be zero"));
        }
        self.keep_alive = Some(every);
        Ok(self)
    }

    /// How long a retired connection that is shared may finish what it was lent for, before it is
    /// [aborted](crate::Connection::abort).
    #[must_use]
    pub const fn with_drain_within(mut self, within: Duration) -> Self {
        self.drain_within = within;
        self
    }

    /// How long closing may take, before the connection is dropped.
    #[must_use]
    pub const fn with_close_within(mut self, within: Duration) -> Self {
        self.close_within = within;
        self
    }

    /// A connection lent for longer is reported, once, with the place of its checkout.
    ///
    /// # Errors
    /// If it is zero.
    pub const fn with_warn_after(mut self, after: Duration) -> Result<Self, InvalidTimes> {
        if after.is_zero() {
            return Err(InvalidTimes("the time before a warning must not be zero"));
        }
        self.warn_after = Some(after);
        Ok(self)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InvalidTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidTimes {}

/// `now + after`, or as good as never where that is past what a clock can say.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    now.checked_add(after).unwrap_or_else(|| now + NEVER)
}

/// What is left without a part of it. Not a product with the rest: that of the greatest time, rounded,
/// is none.
pub(crate) fn cut(time: Duration, part: f64) -> Duration {
    time - time.mul_f64(part)
}
