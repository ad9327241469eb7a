//! The time that a call has, and as `grpc-timeout` says it.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

const TIMEOUT: &str = "grpc-timeout";

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
    ///
    /// None if it says nothing, or what cannot be read, which is for whom it is sent to to refuse.
    pub(crate) fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse(headers.get(TIMEOUT)?.as_bytes())?;
        now.checked_add(timeout).map(Self)
    }

    /// Whether a request says anything about it.
    pub(crate) fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(TIMEOUT)
    }

    pub(crate) const fn instant(self) -> Instant {
        self.0
    }

    pub(crate) fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Tells the other side what is left of it.
    pub(crate) fn put(self, headers: &mut HeaderMap, now: Instant) {
        headers.insert(TIMEOUT, format(self.remaining(now)));
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
    let mut text = Text::default();
    write!(text, "{number}{}", char::from(*unit)).expect("it is at most nine characters");
    HeaderValue::from_bytes(text.as_bytes()).expect("it is digits and a letter")
}

/// Nine characters, without an allocation.
#[derive(Default)]
struct Text {
    bytes: [u8; 9],
    len: usize,
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
