//! The time that is left, as headers say it.

use std::time::Duration;

use http::HeaderValue;

/// How a header says a time: `grpc-timeout`, or as whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Grpc,
    Milliseconds,
}

/// The units of gRPC with their nanoseconds, the finest first.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// As many digits as gRPC takes, and what they can say.
const GRPC_DIGITS: usize = 8;
const GRPC_MOST: u128 = 99_999_999;

/// As many as are sure to fit: thirty thousand years.
const MILLISECONDS_DIGITS: usize = 15;
const MILLISECONDS_MOST: u128 = 999_999_999_999_999;

impl Notation {
    /// `None` for anything but digits, as many as there may be, and gRPC's unit.
    #[inline]
    pub(crate) fn parse(self, value: &[u8]) -> Option<Duration> {
        match self {
            Self::Grpc => {
                let (unit, digits) = value.split_last()?;
                let (_, nanoseconds) = UNITS.iter().find(|(it, _)| it == unit)?;
                let number = number(digits, GRPC_DIGITS)?;
                // All hours that eight digits say fit as seconds, not as nanoseconds.
                Some(match nanoseconds / 1_000_000_000 {
                    0 => Duration::from_nanos(number * nanoseconds),
                    seconds => Duration::from_secs(number * seconds),
                })
            }
            Self::Milliseconds => Some(Duration::from_millis(number(value, MILLISECONDS_DIGITS)?)),
        }
    }

    /// Rounded down: nobody is told of more time than there is. In gRPC's notation in the finest unit
    /// that it fits into. What is too much to be said, which is more than ten thousand years, is the
    /// most that can be said.
    pub(crate) fn format(self, time: Duration) -> HeaderValue {
        let (number, unit) = match self {
            Self::Grpc => {
                let time = time.as_nanos();
                let fits = |(_, size): &&(u8, u64)| time / u128::from(*size) <= GRPC_MOST;
                let &(unit, size) = UNITS.iter().find(fits).unwrap_or(&UNITS[5]);
                (GRPC_MOST.min(time / u128::from(size)), Some(unit))
            }
            Self::Milliseconds => (time.as_millis().min(MILLISECONDS_MOST), None),
        };
        let mut text = [0; MILLISECONDS_DIGITS + 1];
        let mut start = text.len();
        if let Some(unit) = unit {
            start -= 1;
            text[start] = unit;
        }
        let mut rest = number as u64;
        loop {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        HeaderValue::from_bytes(&text[start..]).expect("it is digits and a letter")
    }
}

fn number(digits: &[u8], most: usize) -> Option<u64> {
    if !(1..=most).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number, digit: &u8| number * 10 + u64::from(digit - b'0');
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests;
