use std::{error::Error, fmt, num::NonZeroU64, time::Duration};

use crate::{Name, Reason};

/// A call was refused, since the circuit is open.
///
/// It is found in a [`BoxError`](crate::BoxError) by `downcast_ref::<Open>()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    name: Option<Name>,
    reason: Reason,
    wait: Option<Wait>,
}

/// A time in one word, which moves at once: nanoseconds, and not none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(NonZeroU64);

impl Open {
    #[inline]
    pub(crate) const fn new(name: Option<Name>, reason: Reason, wait: Option<Wait>) -> Self {
        Self { name, reason, wait }
    }

    /// What the circuit is called.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Why the circuit opened.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// After what time the circuit admits a probe, counted from when it refused: for a service, that is
    /// when it was polled to readiness, unless it had been ready for a call of its inner service.
    ///
    /// Nothing when that is not known: while other calls probe a half-open circuit, and when it is
    /// forced open.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.wait.map(Wait::into)
    }
}

impl Wait {
    #[inline]
    pub(crate) fn new(time: Duration) -> Option<Self> {
        // No circuit is open for five hundred years.
        NonZeroU64::new(time.as_nanos() as u64).map(Self)
    }
}

impl From<Wait> for Duration {
    fn from(Wait(nanos): Wait) -> Self {
        Self::from_nanos(nanos.get())
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("circuit ")?;
        if let Some(name) = &self.name {
            write!(f, "{name} ")?;
        }
        match (self.reason, self.retry_after()) {
            (Reason::Forced, _) => f.write_str("is forced open"),
            (reason, Some(wait)) => write!(f, "is open ({reason}), the next try in {wait:?}"),
            (reason, None) => write!(f, "is half-open ({reason}), its probes are out"),
        }
    }
}

impl Error for Open {}
