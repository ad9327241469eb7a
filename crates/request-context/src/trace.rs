//! W3C trace context (<https://www.w3.org/TR/trace-context/>), level 1: read, and passed on.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header::GetAll};

pub(crate) const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// As many bytes of it as everybody is to pass on.
const STATE_BYTES: usize = 512;
const STATE_MEMBERS: usize = 32;

/// The trace that a request belongs to, as its `traceparent` and `tracestate` say.
///
/// It is passed on as it came: this crate begins no trace and adds no span to one.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    parent: u64,
    flags: u8,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// What the headers of a request say: nothing if there is no `traceparent`, or more than one, or
    /// if it is no valid one. Of a version that is not known yet, what version 00 has of it is taken.
    ///
    /// A `tracestate` that is longer than 512 bytes, has more than 32 members or other characters than
    /// visible ASCII, blanks and tabs is left out; several are joined in their order.
    #[must_use]
    #[inline]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(PARENT).iter();
        match (parents.next(), parents.next()) {
            (Some(parent), None) => Self::from(parent, headers),
            _ => None,
        }
    }

    /// With this `traceparent`, the only one that there is.
    #[inline]
    pub(crate) fn from(parent: &HeaderValue, headers: &HeaderMap) -> Option<Self> {
        let (trace, parent, flags) = parse(parent.as_bytes())?;
        Some(Self {
            trace,
            parent,
            flags,
            state: state(&headers.get_all(STATE)),
        })
    }

    /// Not zero; written as 32 digits in lower-case hexadecimal.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace
    }

    /// The caller's span: not zero; written as 16 digits.
    #[must_use]
    pub const fn parent_id(&self) -> u64 {
        self.parent
    }

    /// Whether the caller may have recorded its part of the trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// What the vendors of tracing systems have added.
    #[must_use]
    pub const fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// Writes the two headers, in place of whatever they said.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace);
        write_hex(&mut text[36..52], self.parent.into());
        write_hex(&mut text[53..55], self.flags.into());
        let parent = HeaderValue::from_bytes(&text).expect("it is digits and hyphens");
        headers.insert(PARENT, parent);
        match &self.state {
            Some(state) => headers.insert(STATE, state.clone()),
            // One without a parent of its own belongs to another trace.
            None => headers.remove(STATE),
        };
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContext")
            .field("trace_id", &format_args!("{:032x}", self.trace))
            .field("parent_id", &format_args!("{:016x}", self.parent))
            .field("is_sampled", &self.is_sampled())
            .field("state", &self.state)
            .finish()
    }
}

fn parse(value: &[u8]) -> Option<(u128, u64, u8)> {
    let (known, rest) = value.split_at_checked(55)?;
    if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let flags = hex(&known[53..])? as u8;
    let flags = match hex(&known[..2])? {
        0 if rest.is_empty() => flags,
        0 | 0xff => return None,
        // What the others of its flags mean, nobody knows.
        _ if rest.is_empty() || rest[0] == b'-' => flags & 1,
        _ => return None,
    };
    let trace = hex(&known[3..35]).filter(|it| *it != 0)?;
    let parent = hex(&known[36..52]).filter(|it| *it != 0)?;
    Some((trace, parent as u64, flags))
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

fn write_hex(text: &mut [u8], mut number: u128) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn state(values: &GetAll<'_, HeaderValue>) -> Option<HeaderValue> {
    let mut all = values.iter();
    let first = all.next()?;
    let state = match all.next() {
        None => first.clone(),
        Some(_) => {
            let all: Vec<_> = values.iter().map(HeaderValue::as_bytes).collect();
            HeaderValue::from_bytes(&all.join(&b',')).ok()?
        }
    };
    let bytes = state.as_bytes();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let is_good = (1..=STATE_BYTES).contains(&bytes.len())
        && bytes.iter().all(is_text)
        && bytes.split(|it| *it == b',').count() <= STATE_MEMBERS;
    is_good.then_some(state)
}

#[cfg(test)]
mod tests;
