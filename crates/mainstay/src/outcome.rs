//! How an attempt ended, in values that no transport has a part in.

use std::time::Duration;

/// All that decides what is done about an attempt: whether it failed, who is to blame, whether and
/// when it may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Code,
    pub(crate) cause: Cause,
    pub(crate) processed: Processed,
    pub(crate) pushback: Pushback,
}

/// The status codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

/// Where the code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// The service said it.
    Answer,
    /// The answer ended, and did not say it.
    NoStatus,
    /// The other side broke this one call off.
    Reset,
    /// The connection could not be made, or ended, with whatever it carried: not a word about the
    /// service, for the process behind it is another's business.
    Connection,
    /// The time of the call was over.
    Deadline,
    /// The caller's own request failed.
    Request,
    /// The caller lost interest.
    Dropped,
    /// Something between us and the connection.
    Other,
}

/// Whether the service may have seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Processed {
    /// It did not leave: to send it again is no second time.
    Never,
    /// The other side's library says that it did not look at it. It may have its reasons, so once.
    Refused,
    /// Nobody can tell.
    Maybe,
}

/// What the service says about when to try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pushback {
    #[default]
    Absent,
    After(Duration),
    /// Not at all.
    Never,
}

impl Outcome {
    pub(crate) const fn new(code: Code, cause: Cause) -> Self {
        Self {
            code,
            cause,
            processed: Processed::Maybe,
            pushback: Pushback::Absent,
        }
    }

    #[must_use]
    pub(crate) const fn with_processed(mut self, processed: Processed) -> Self {
        self.processed = processed;
        self
    }

    #[must_use]
    pub(crate) const fn with_pushback(mut self, pushback: Pushback) -> Self {
        self.pushback = pushback;
        self
    }

    /// The same, of an attempt whose body was taken away before anybody had asked for it.
    ///
    /// A handler that takes one message runs when it has it; one that takes a stream runs before. An
    /// answer is an answer nevertheless.
    #[must_use]
    pub(crate) fn without_body(self, streams_requests: bool) -> Self {
        match (streams_requests, self.cause) {
            (_, Cause::Answer) => self,
            (false, _) => self.with_processed(Processed::Never),
            // hyper gives a request up when it finds a GOAWAY just after it has handed the headers
            // on, which may be below the last stream and be sent after all.
            (true, Cause::Connection) if self.processed == Processed::Refused => {
                self.with_processed(Processed::Maybe)
            }
            (true, _) => self,
        }
    }
}

impl Code {
    pub(crate) const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The value of `grpc-status`; what is no code of gRPC is unknown.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let number = match *value {
            [ones @ b'0'..=b'9'] => ones - b'0',
            [b'1', ones @ b'0'..=b'9'] => 10 + ones - b'0',
            _ => u8::MAX,
        };
        let code = Self::ALL.get(usize::from(number));
        code.copied().unwrap_or(Self::Unknown)
    }

    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl Pushback {
    /// The value of `grpc-retry-pushback-ms`.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok();
        let number = number.and_then(|it| it.parse::<i64>().ok());
        match number.map(u64::try_from) {
            Some(Ok(milliseconds)) => Self::After(Duration::from_millis(milliseconds)),
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests;
