use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;

use crate::{Id, context::Path, timeout::Notation};

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Which headers say what.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) id: HeaderName,
    /// In milliseconds, beside `grpc-timeout`.
    pub(crate) timeout: Option<HeaderName>,
}

impl Headers {
    pub(crate) const fn new() -> Self {
        Self {
            id: HeaderName::from_static("x-request-id"),
            timeout: None,
        }
    }

    /// The earliest of all that can be read: nobody is given more time than any of them says. What cannot
    /// be read is for whom it is sent to to refuse, and one that is too far away to be told is none.
    #[inline]
    pub(crate) fn deadline(&self, headers: &HeaderMap, now: Instant) -> Option<Instant> {
        let earliest = earliest(headers, &GRPC_TIMEOUT, Notation::Grpc);
        let earliest = match &self.timeout {
            None => earliest,
            Some(name) => {
                let other = self::earliest(headers, name, Notation::Milliseconds);
                earliest.into_iter().chain(other).min()
            }
        };
        now.checked_add(earliest?)
    }

    /// Says what is left until the deadline.
    pub(crate) fn put_deadline(&self, headers: &mut HeaderMap, deadline: Instant, now: Instant) {
        let left = deadline.saturating_duration_since(now);
        let mut put = |name: &HeaderName, notation: Notation| {
            let mut value = notation.format(left);
            // It is no secret, but never the same: this keeps HTTP/2 from storing it in the table of
            // headers that were sent, where it would push out others and never be found again.
            value.set_sensitive(true);
            headers.insert(name, value);
        };
        put(&GRPC_TIMEOUT, Notation::Grpc);
        if let Some(name) = &self.timeout {
            put(name, Notation::Milliseconds);
        }
    }

    pub(crate) fn put_id(&self, headers: &mut HeaderMap, id: &Id) {
        let value = HeaderValue::from_str(id.as_str()).expect("an id has no other characters");
        headers.insert(&self.id, value);
    }
}

/// Takes an id over, and says whether there was one. It was not if there are several: which one is meant
/// nobody knows, and if proxies and servers guess, they guess differently.
#[inline]
pub(crate) fn read_id(headers: &HeaderMap, name: &HeaderName, id: &mut Id) -> bool {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => id.set(value.as_bytes()).is_ok(),
        _ => false,
    }
}

#[inline]
fn earliest(headers: &HeaderMap, name: &HeaderName, notation: Notation) -> Option<Duration> {
    let values = headers.get_all(name).iter();
    values.filter_map(|it| notation.parse(it.as_bytes())).min()
}

#[inline]
pub(crate) fn read_path<B>(request: &Request<B>, path: &mut Path) {
    let is_quote = |byte| (byte == b'"') | (byte == b'\'') | (byte == b'`') | (byte == b'\\');
    path.set_if(request.uri().path().as_bytes(), |byte| {
        byte.is_ascii_graphic() & !is_quote(byte)
    });
}
