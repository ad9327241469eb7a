//! What our own layers refuse a call with, as statuses. One table; all else is in `status`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_circuit_breaker::Open;
use mainstay_conn_pool::{BackendDown, Closed, TimedOut};
use mainstay_ttl_cache::{Panicked, RefreshTimedOut};
use tonic::Status;
use tonic::metadata::MetadataValue;

use crate::deadline::Expired;
use crate::limit::Full;
use crate::outcome::Code;

const PUSHBACK: &str = "grpc-retry-pushback-ms";

type BoxError = Box<dyn Error + Send + Sync>;

/// What the caller of a refused call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: Code,
    /// When to come back, where that is known.
    pushback: Option<Duration>,
}

type Row = fn(&(dyn Error + 'static)) -> Option<Refusal>;

const TABLE: [Row; 8] = [
    |error| row::<Open>(error, |it| (Code::Unavailable, it.retry_after())),
    |error| row::<Full>(error, |_| (Code::ResourceExhausted, None)),
    |error| row::<Expired>(error, |_| (Code::DeadlineExceeded, None)),
    |error| row::<BackendDown>(error, |it| (Code::Unavailable, Some(it.retry_in()))),
    |error| row::<TimedOut>(error, |_| (Code::Unavailable, None)),
    |error| row::<Closed>(error, |_| (Code::Unavailable, None)),
    |error| row::<Panicked>(error, |_| (Code::Internal, None)),
    |error| row::<RefreshTimedOut>(error, |_| (Code::DeadlineExceeded, None)),
];

/// What the caller is told, if an error is, or comes from, a refusal of ours.
pub(crate) fn find(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = TABLE.iter().find_map(|row| row(error)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// As [`find`]; an error that is none of ours, but keeps a call from being made nevertheless, is
/// UNAVAILABLE.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Refusal {
    find(error).unwrap_or(Refusal {
        code: Code::Unavailable,
        pushback: None,
    })
}

/// A refusal as a status, whose message says all that is known of its causes, and whose source the
/// error is.
pub(crate) fn status(refusal: &Refusal, error: BoxError) -> Status {
    let code = tonic::Code::from_i32(refusal.code.number().into());
    let mut status = Status::new(code, Chain(&*error).to_string());
    if let Some(pushback) = refusal.pushback {
        // Rounded up: who comes a moment too early is refused again.
        let milliseconds = pushback.as_nanos().div_ceil(1_000_000);
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        let metadata = status.metadata_mut();
        metadata.insert(PUSHBACK, MetadataValue::from(milliseconds));
    }
    status.set_source(Arc::from(error));
    status
}

fn row<E: Error + 'static>(
    error: &(dyn Error + 'static),
    told: fn(&E) -> (Code, Option<Duration>),
) -> Option<Refusal> {
    let (code, pushback) = told(error.downcast_ref()?);
    Some(Refusal { code, pushback })
}

/// An error with its sources, as one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
