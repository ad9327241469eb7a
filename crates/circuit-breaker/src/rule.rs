use std::{error::Error, fmt, num::NonZeroU32, time::Duration};

use crate::{Window, meter::Shape};

/// Opens the circuit after so many failures with no success between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsecutiveFailures {
    limit: NonZeroU32,
}

/// Opens the circuit when too great a part of the calls in a window failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRate {
    rate: f64,
    window: Window,
}

/// Opens the circuit when too great a part of the calls in a window took too long, whether they
/// succeeded or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCallRate {
    rate: f64,
    slow_from: Duration,
    window: Window,
}

/// One condition on which a circuit opens.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// So many failures in a row.
    ConsecutiveFailures(ConsecutiveFailures),
    /// Too many failures in a window.
    FailureRate(FailureRate),
    /// Too many slow calls in a window.
    SlowCallRate(SlowCallRate),
}

/// What is wrong with a rule or its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRule(pub(crate) &'static str);

impl ConsecutiveFailures {
    /// Opens at the `limit`-th failure in a row.
    ///
    /// # Errors
    /// If `limit` is zero.
    pub const fn new(limit: u32) -> Result<Self, InvalidRule> {
        match NonZeroU32::new(limit) {
            Some(limit) => Ok(Self { limit }),
            None => Err(InvalidRule("the limit of failures must not be zero")),
        }
    }

    /// The number of failures that opens the circuit.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit.get()
    }
}

impl FailureRate {
    /// Opens when at least `rate` of the calls in the window failed: 0.5 is half of them.
    ///
    /// # Errors
    /// If `rate` is not above 0 and at most 1.
    pub const fn new(rate: f64, window: Window) -> Result<Self, InvalidRule> {
        match checked(rate) {
            Ok(rate) => Ok(Self { rate, window }),
            Err(error) => Err(error),
        }
    }

    /// The part of the calls that opens the circuit.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Which calls it is taken over.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }
}

impl SlowCallRate {
    /// Opens when at least `rate` of the calls in the window took `slow_from` or longer.
    ///
    /// # Errors
    /// If `rate` is not above 0 and at most 1, or `slow_from` is zero.
    pub const fn new(rate: f64, slow_from: Duration, window: Window) -> Result<Self, InvalidRule> {
        if slow_from.is_zero() {
            return Err(InvalidRule(
                "the time from which a call is slow must not be zero",
            ));
        }
        match checked(rate) {
            Ok(rate) => Ok(Self {
                rate,
                slow_from,
                window,
            }),
            Err(error) => Err(error),
        }
    }

    /// How long a call takes that is slow.
    #[must_use]
    pub const fn slow_from(&self) -> Duration {
        self.slow_from
    }

    /// The part of the calls that opens the circuit.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Which calls it is taken over.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }
}

impl Rule {
    /// The window that the rule looks at, and the part of its calls that opens the circuit.
    pub(crate) const fn rate(&self) -> Option<(Window, f64)> {
        match self {
            Self::ConsecutiveFailures(_) => None,
            Self::FailureRate(FailureRate { rate, window })
            | Self::SlowCallRate(SlowCallRate { rate, window, .. }) => Some((*window, *rate)),
        }
    }

    pub(crate) fn shape(&self) -> Option<Shape> {
        let (window, _) = self.rate()?;
        Some(Shape {
            span: window.span(),
            slow_from: match self {
                Self::SlowCallRate(rule) => Some(rule.slow_from),
                Self::ConsecutiveFailures(_) | Self::FailureRate(_) => None,
            },
        })
    }
}

const fn checked(rate: f64) -> Result<f64, InvalidRule> {
    // Said so that it is false for NaN.
    if rate > 0.0 && rate <= 1.0 {
        Ok(rate)
    } else {
        Err(InvalidRule("a rate must be above 0 and at most 1"))
    }
}

impl From<ConsecutiveFailures> for Rule {
    fn from(rule: ConsecutiveFailures) -> Self {
        Self::ConsecutiveFailures(rule)
    }
}

impl From<FailureRate> for Rule {
    fn from(rule: FailureRate) -> Self {
        Self::FailureRate(rule)
    }
}

impl From<SlowCallRate> for Rule {
    fn from(rule: SlowCallRate) -> Self {
        Self::SlowCallRate(rule)
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid rule of a circuit breaker: {}", self.0)
    }
}

impl Error for InvalidRule {}
