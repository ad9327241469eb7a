//! What follows from how an attempt ended: for the circuit, and for the next attempt.
//!
//! Values in, values out; no transport has a part in it.

use mainstay_circuit_breaker::{Failure, Verdict};
use mainstay_retry_backoff as retry;

use crate::outcome::{Cause, Code, Outcome, Processed, Pushback};

/// A set of status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codes(u32);

impl Codes {
    pub(crate) const fn new(codes: &[Code]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < codes.len() {
            bits |= 1 << codes[at].number();
            at += 1;
        }
        Self(bits)
    }

    pub(crate) const fn contains(self, code: Code) -> bool {
        self.0 & 1 << code.number() != 0
    }
}

/// What an attempt says about the service.
///
/// Nothing, if the service had no part in how it ended. That a process died is no word about the
/// service: whoever keeps it running has it replaced, and the next call goes to another.
pub(crate) fn verdict(outcome: Outcome) -> Verdict {
    if outcome.processed != Processed::Maybe {
        return Verdict::Ignore;
    }
    match outcome.cause {
        Cause::Connection | Cause::Dropped | Cause::Request | Cause::Other => Verdict::Ignore,
        Cause::Deadline | Cause::Reset => failure(outcome).into(),
        Cause::Answer | Cause::NoStatus => match outcome.code {
            Code::Unavailable
            | Code::Internal
            | Code::Unknown
            | Code::DataLoss
            | Code::DeadlineExceeded
            | Code::ResourceExhausted => failure(outcome).into(),
            // Whoever cancelled it, it was not for the service to say.
            Code::Cancelled => Verdict::Ignore,
            // An answer, if not the one that was hoped for.
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Verdict::Success,
        },
    }
}

/// What an attempt has come to, for the engine that decides about the next one.
///
/// `codes` are those after which an idempotent method is called again.
pub(crate) fn again(outcome: Outcome, is_idempotent: bool, codes: Codes) -> retry::Outcome {
    match outcome.processed {
        Processed::Never => return retry::Outcome::NotSent,
        Processed::Refused => return retry::Outcome::NotProcessed,
        Processed::Maybe => {}
    }
    match outcome.cause {
        Cause::Answer if outcome.code == Code::Ok => retry::Outcome::Success,
        // An answer without a status that says nothing else is as good as none.
        Cause::NoStatus if outcome.code == Code::Unknown && is_idempotent => {
            retry::Outcome::transient()
        }
        Cause::Answer | Cause::NoStatus if !codes.contains(outcome.code) => retry::Outcome::Fatal,
        // The throttle is to hear of it all the same.
        Cause::Answer | Cause::Reset | Cause::NoStatus | Cause::Deadline
            if !is_idempotent || outcome.pushback == Pushback::Never =>
        {
            retry::Outcome::DoNotRetry
        }
        Cause::Deadline => retry::Outcome::timeout(),
        Cause::Answer | Cause::Reset | Cause::NoStatus => {
            let outcome_of = if outcome.code == Code::ResourceExhausted {
                retry::Outcome::throttled()
            } else {
                retry::Outcome::transient()
            };
            match outcome.pushback {
                Pushback::After(delay) => outcome_of.after(delay),
                Pushback::Absent | Pushback::Never => outcome_of,
            }
        }
        // It is sent again as what did not leave, since the throttle is not to hear of it; whoever
        // asks counts how often.
        Cause::Connection if is_idempotent => retry::Outcome::NotSent,
        Cause::Connection | Cause::Request | Cause::Dropped | Cause::Other => retry::Outcome::Fatal,
    }
}

/// Whether it ended with its connection, after it may have run.
pub(crate) fn is_lost(outcome: Outcome) -> bool {
    outcome.cause == Cause::Connection && outcome.processed == Processed::Maybe
}

fn failure(outcome: Outcome) -> Failure {
    let failure = if outcome.code == Code::ResourceExhausted {
        Failure::refusal()
    } else {
        Failure::new()
    };
    match outcome.pushback {
        Pushback::After(delay) => failure.with_retry_after(delay),
        Pushback::Absent | Pushback::Never => failure,
    }
}

#[cfg(test)]
mod tests;
