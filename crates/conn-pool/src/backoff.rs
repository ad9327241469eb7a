use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Delays between tries to connect that fail: each anywhere between nothing and a limit, which
/// doubles from try to try.
///
/// By default the first limit is 100 ms and the last 5 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    limit: Duration,
    max: Duration,
}

/// Delays that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBackoff(&'static str);

impl Backoff {
    /// Delays of up to `first`, then up to twice that, and in the end up to `max`.
    ///
    /// # Errors
    /// If `first` is zero or above `max`.
    pub const fn new(first: Duration, max: Duration) -> Result<Self, InvalidBackoff> {
        if first.is_zero() {
            return Err(InvalidBackoff("the first delay must not be zero"));
        }
        if first.as_nanos() > max.as_nanos() {
            return Err(InvalidBackoff("the first delay must not exceed the last"));
        }
        Ok(Self { limit: first, max })
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            limit: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let limit = self.limit;
        self.limit = limit.saturating_mul(2).min(self.max);
        Some(limit.mul_f64(rand::random::<f64>()))
    }
}

impl fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidBackoff {}
