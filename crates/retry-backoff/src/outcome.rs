use std::time::Duration;

use crate::budget::Cause;

/// What an attempt has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what was asked for.
    Success,
    /// It failed, and another attempt may do better.
    Retryable {
        /// What a retry costs may depend on it.
        cause: Cause,
        /// How long the server wants to be left alone, if it said so: waited for exactly, in place
        /// of the backoff, which begins anew after it.
        after: Option<Duration>,
    },
    /// It failed, and the server wants no other attempt. For a budget it is a failure like those
    /// that are retried.
    DoNotRetry,
    /// It failed in a way that no attempt will mend: the request is wrong, for instance. It says
    /// nothing about the server, and no budget hears of it.
    Fatal,
    /// It never left: sent again until the deadline, which counts as no attempt and costs nothing.
    ///
    /// Three times in a row that is at once. After that the backoff's delays are waited for, a
    /// millisecond at least, and it ends if they do.
    ///
    /// For this as for [`NotProcessed`](Self::NotProcessed) the request must still be there. It is
    /// not copied for the last attempt, which therefore is the last one in any case, unless the plan
    /// says [`with_transparent_retries`](crate::Plan::with_transparent_retries).
    NotSent,
    /// The server provably did nothing for it: sent again at once, which counts as no attempt and
    /// costs nothing, but only the first time; then it is a transient failure.
    NotProcessed,
}

impl Outcome {
    /// Retryable, for a reason that may be gone the next time.
    #[must_use]
    pub const fn transient() -> Self {
        Self::retryable(Cause::Transient)
    }

    /// Retryable, since there was no answer in time.
    #[must_use]
    pub const fn timeout() -> Self {
        Self::retryable(Cause::Timeout)
    }

    /// Retryable, since the server is asked too much.
    #[must_use]
    pub const fn throttled() -> Self {
        Self::retryable(Cause::Throttled)
    }

    /// The same, if it is retryable, but not before this time has passed: exactly then, or
    /// not at all if it is longer than [`Plan::with_longest_hint`](crate::Plan::with_longest_hint).
    #[must_use]
    pub const fn after(self, delay: Duration) -> Self {
        match self {
            Self::Retryable { cause, .. } => Self::Retryable {
                cause,
                after: Some(delay),
            },
            other => other,
        }
    }

    const fn retryable(cause: Cause) -> Self {
        Self::Retryable { cause, after: None }
    }
}
