use std::time::Duration;

use tokio::time::Instant;

use crate::OpenTime;

/// What a call says about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service works.
    Success,
    /// The service does not work.
    Failure(Failure),
    /// Nothing: the fault was the caller's, or the answer never concerned the service. A probe with
    /// this verdict is given back as if it had not been.
    Ignore,
}

/// A call that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub(crate) retry_after: Duration,
    pub(crate) is_refusal: bool,
}

/// Tells what the result of a call says about the service.
///
/// Closures `Fn(&Result<T, E>) -> Verdict` do, too. It is asked by the service's clones at once and
/// outside of any lock; [`Clone`] should be cheap, since each call takes one.
pub trait Classify<T, E> {
    /// The verdict on `result`. An error of the inner service's `poll_ready` is judged too.
    fn classify(&self, result: &Result<T, E>) -> Verdict;
}

/// Takes errors for failures, and all else for success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorsFail;

impl Verdict {
    /// A plain failure.
    #[must_use]
    pub const fn failure() -> Self {
        Self::Failure(Failure::new())
    }
}

impl Failure {
    /// A plain failure.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            retry_after: Duration::ZERO,
            is_refusal: false,
        }
    }

    /// The service refused the call, as it may when it has too much to do (429, `RESOURCE_EXHAUSTED`).
    /// That counts in the rates and fails a probe, but neither begins, goes on with, nor ends a row of
    /// consecutive failures: a service that sheds some of its load is not down.
    #[must_use]
    pub const fn refusal() -> Self {
        Self {
            retry_after: Duration::ZERO,
            is_refusal: true,
        }
    }

    /// The service said when to come back: an opening circuit stays open for at least so long, within
    /// the maximum of its [`OpenTime`](crate::OpenTime). The latest moment that a failure named since
    /// the last change of state counts.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }
}

impl Failure {
    /// When the service is to be called again, at the earliest.
    pub(crate) fn not_before(&self, now: Instant) -> Instant {
        now + self.retry_after.min(OpenTime::MAX)
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl<T, E> Classify<T, E> for ErrorsFail {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        match result {
            Ok(_) => Verdict::Success,
            Err(_) => Verdict::failure(),
        }
    }
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(&Result<T, E>) -> Verdict,
{
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        self(result)
    }
}
