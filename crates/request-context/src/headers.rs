use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;

use crate::{Id, context::Path, timeout::Notation, trace::PARENT};

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Which headers say what.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) id: HeaderName,
    /// In milliseconds, beside `grpc-timeout`.
    pub(crate) timeout: Option<HeaderName>,
}

/// What the headers of a request say.
#[derive(Default)]
pub(crate) struct Said<'a> {
    pub(crate) id: Single<'a>,
    pub(crate) client: Single<'a>,
    pub(crate) parent: Single<'a>,
    timeout: Option<Duration>,
}

/// A header that must not be there twice: which one is meant nobody knows, and if proxies and servers
/// guess, they guess differently.
#[derive(Clone, Copy, Default)]
pub(crate) enum Single<'a> {
    #[default]
    None,
    One(&'a HeaderValue),
    Several,
}

impl Headers {
    pub(crate) const fn new() -> Self {
        Self {
            id: HeaderName::from_static("x-request-id"),
            timeout: None,
        }
    }

    /// What is said in them. In one walk, whatever else there is: to look them up, each of their names would
    /// be hashed.
    #[inline]
    pub(crate) fn read<'a>(&self, headers: &'a HeaderMap, client: Option<&HeaderName>) -> Said<'a> {
        let mut said = Said::default();
        for (name, value) in headers {
            // Each of them: a name may have been given two meanings.
            if *name == self.id {
                said.id.add(value);
            }
            if Some(name) == client {
                said.client.add(value);
            }
            if *name == PARENT {
                said.parent.add(value);
            }
            if *name == GRPC_TIMEOUT {
                said.add_timeout(Notation::Grpc, value);
            }
            if Some(name) == self.timeout.as_ref() {
                said.add_timeout(Notation::Milliseconds, value);
            }
        }
        said
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

impl<'a> Said<'a> {
    /// The earliest of all that can be read: nobody is given more time than any of them says. What cannot
    /// be read is for whom it is sent to to refuse, and one that is too far away to be told is none.
    #[inline]
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.timeout?)
    }

    fn add_timeout(&mut self, notation: Notation, value: &HeaderValue) {
        let timeout = notation.parse(value.as_bytes());
        self.timeout = self.timeout.into_iter().chain(timeout).min();
    }
}

impl<'a> Single<'a> {
    #[inline]
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    #[inline]
    pub(crate) fn value(self) -> Option<&'a HeaderValue> {
        match self {
            Self::One(value) => Some(value),
            Self::None | Self::Several => None,
        }
    }

    /// Takes an id over, and says whether there was one.
    #[inline]
    pub(crate) fn read_into(self, id: &mut Id) -> bool {
        self.value().is_some_and(|it| id.set(it.as_bytes()).is_ok())
    }
}

#[inline]
pub(crate) fn read_path<B>(request: &Request<B>, path: &mut Path) {
    let is_quote = |byte| (byte == b'"') | (byte == b'\'') | (byte == b'`') | (byte == b'\\');
    path.set_if(request.uri().path().as_bytes(), |byte| {
        byte.is_ascii_graphic() & !is_quote(byte)
    });
}
