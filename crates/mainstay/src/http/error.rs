use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use mainstay_circuit_breaker::Open;
use mainstay_conn_pool::AcquireError;

/// A request came to nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be sent: its URL, a header or its JSON is wrong.
    Invalid(InvalidRequest),
    /// The client is closed.
    Closed,
    /// The circuit of the host is open.
    Open(Open),
    /// There was no connection: none can be made, which the source of this tells.
    NoConnection(AcquireError),
    /// It took longer than it may, from [sending](crate::http::Request::send) to the end of the body.
    TimedOut(TimedOut),
    /// The connection failed. The server may have acted on the request.
    Failed(hyper::Error),
    /// The server sent the client elsewhere, and it did not go.
    Redirect(RedirectRefused),
    /// The server answered with a status of failure, and the caller
    /// [asked](crate::http::Response::error_for_status).
    Status(Box<StatusError>),
    /// The body is longer than it [may be](crate::http::Http::with_max_body).
    TooLarge(TooLarge),
    /// The body is not the JSON that was expected.
    Json(serde_json::Error),
    /// The body is not text.
    NotText(std::str::Utf8Error),
}

/// A request that cannot be sent.
#[derive(Debug)]
pub struct InvalidRequest(Wrong);

#[derive(Debug)]
pub(crate) enum Wrong {
    Url(url::ParseError),
    Uri(http::uri::InvalidUri),
    Scheme,
    Credentials,
    Header(http::Error),
    Json(serde_json::Error),
}

/// The time for a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    pub(crate) within: Duration,
}

/// A redirect that was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectRefused {
    /// There were as many as there may be.
    TooMany(u32),
    /// It leads from HTTPS to HTTP.
    Downgrade,
    /// It leads to what is no URL that can be asked for.
    Location(String),
}

/// A status of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusError {
    pub(crate) status: StatusCode,
    pub(crate) url: String,
    pub(crate) body: Bytes,
    pub(crate) retry_after: Option<Duration>,
}

/// A body that is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub(crate) limit: usize,
}

impl Error {
    /// The status, if it is one that failed it.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(error) => Some(error.status),
            _ => None,
        }
    }

    pub(crate) fn invalid(wrong: Wrong) -> Self {
        Self::Invalid(InvalidRequest(wrong))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::Closed => f.write_str("the client is closed"),
            Self::Open(error) => error.fmt(f),
            Self::NoConnection(error) => error.fmt(f),
            Self::TimedOut(error) => error.fmt(f),
            Self::Failed(_) => f.write_str("the exchange with the server failed"),
            Self::Redirect(error) => error.fmt(f),
            Self::Status(error) => error.fmt(f),
            Self::TooLarge(error) => error.fmt(f),
            Self::Json(_) => f.write_str("the body is not the JSON that was expected"),
            Self::NotText(_) => f.write_str("the body is not UTF-8"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Invalid(error) => error.source(),
            Self::NoConnection(error) => error.source(),
            Self::Failed(error) => Some(error),
            Self::Json(error) => Some(error),
            Self::NotText(error) => Some(error),
            Self::Closed
            | Self::Open(_)
            | Self::TimedOut(_)
            | Self::Redirect(_)
            | Self::Status(_)
            | Self::TooLarge(_) => None,
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Wrong::Url(_) | Wrong::Uri(_) => "the URL cannot be read",
            Wrong::Scheme => "the URL is not one of http or https with a host",
            Wrong::Credentials => "the URL has credentials in it: send them in a header",
            Wrong::Header(_) => "a header has a name or value that cannot be",
            Wrong::Json(_) => "what is to be sent cannot be written as JSON",
        })
    }
}

impl StdError for InvalidRequest {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Wrong::Url(error) => Some(error),
            Wrong::Uri(error) => Some(error),
            Wrong::Header(error) => Some(error),
            Wrong::Json(error) => Some(error),
            Wrong::Scheme | Wrong::Credentials => None,
        }
    }
}

impl TimedOut {
    /// How long it had.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no complete answer within {:?}", self.within)
    }
}

impl StdError for TimedOut {}

impl fmt::Display for RedirectRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(limit) => write!(f, "more than {limit} redirects"),
            Self::Downgrade => f.write_str("redirect from HTTPS to HTTP"),
            Self::Location(location) => write!(f, "redirect to {location:?}, which is no URL"),
        }
    }
}

impl StdError for RedirectRefused {}

impl StatusError {
    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The URL that was asked for, after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The beginning of the body: up to 8 KiB, or what came of it.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// How long the server wants to be left alone, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.status, self.url)?;
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.trim().chars().take(SHOWN).collect();
        if !body.is_empty() {
            write!(f, ": {}", body.escape_debug())?;
        }
        Ok(())
    }
}

/// Of the body, in a line of a log.
const SHOWN: usize = 200;

impl StdError for StatusError {}

impl TooLarge {
    /// How many bytes it may have.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body has more than {} bytes", self.limit)
    }
}

impl StdError for TooLarge {}
