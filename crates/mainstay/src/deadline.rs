//! The time that a call has, and as `grpc-timeout` says it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::header;

pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// When a call ends, whatever it has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

/// A call, or an attempt, took longer than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    pub(crate) whose: Whose,
    pub(crate) within: Duration,
}

/// Whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Call,
    Attempt,
}

impl Deadline {
    pub(crate) const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// What a request says that came, or is to go, at the time `now`.
    pub(crate) fn of(headers: &HeaderMap, now: Instant) -> Said {
        let Some(timeout) = header::find(headers, &TIMEOUT) else {
            return Said::Nothing;
        };
        let deadline = parse(timeout.as_bytes()).and_then(|it| now.checked_add(it));
        deadline.map_or(Said::Unreadable, |it| Said::By(Self(it)))
    }

    pub(crate) const fn instant(self) -> Instant {
        self.0
    }

    pub(crate) fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Tells the other side what is left of it; `is_whole` says that it is all that there was.
    pub(crate) fn put(self, headers: &mut HeaderMap, now: Instant, is_whole: bool) {
        let mut timeout = format(self.remaining(now));
        // A part of it is no secret, but never the same: so it is kept out of the table of headers that
        // have been sent, where it would take the place of others and be looked for in vain.
        timeout.set_sensitive(!is_whole);
        headers.insert(TIMEOUT, timeout);
    }
}

/// What a request says about its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    /// It is for whom it is sent to to refuse that, or it is too far away.
    Unreadable,
    By(Deadline),
}

#[cfg(test)]
impl Said {
    pub(crate) fn unwrap(self) -> Deadline {
        match self {
            Self::By(deadline) => deadline,
            other => panic!("{other:?}"),
        }
    }
}

impl Expired {
    /// How much time there was.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// Whether it is the time for one attempt that was over, and not that for the call.
    #[must_use]
    pub const fn is_of_attempt(&self) -> bool {
        matches!(self.whose, Whose::Attempt)
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.whose {
            Whose::Call => "call",
            Whose::Attempt => "attempt",
        };
        write!(f, "the {whose} was not done within {:?}", self.within)
    }
}

impl Error for Expired {}

/// The units of gRPC with their nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// As many digits as there may be.
const MOST: u128 = 99_999_999;

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (_, nanoseconds) = UNITS.iter().find(|(it, _)| it == unit)?;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    Some(match seconds {
        0 => Duration::from_nanos(number * u64::try_from(*nanoseconds).ok()?),
        seconds => Duration::from_secs(number * seconds),
    })
}

/// In the finest unit that it fits into, rounded down: nobody is given more time than there is. What
/// fits into none, which is eleven thousand years, is the most that can be said.
fn format(timeout: Duration) -> HeaderValue {
    let nanoseconds = timeout.as_nanos();
    let fits = |(_, unit): &&(u8, u128)| nanoseconds / unit <= MOST;
    let (unit, size) = UNITS.iter().find(fits).unwrap_or(&(b'H', u128::MAX));
    let number = if *size == u128::MAX {
        MOST
    } else {
        nanoseconds / size
    };
    let mut text = [*unit; 9];
    let mut start = text.len() - 1;
    let mut rest = u32::try_from(number).expect("it has at most eight digits");
    while rest > 0 || start == text.len() - 1 {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    HeaderValue::from_bytes(&text[start..]).expect("it is digits and a letter")
}

#[cfg(test)]
mod tests;
