//! What tonic, hyper and h2 say, as an [`Outcome`]; and an outcome as a status for the caller.
//!
//! This is the one place that knows their errors.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use h2::Reason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tonic::codegen::StdError as BoxError;
use tonic::metadata::MetadataMap;
use tonic::{ConnectError, Status, TimeoutExpired};

use crate::connection::{Closed, NeverLeft};
use crate::deadline::Expired;
use crate::header;
use crate::outcome::{Cause, Code, Outcome, Processed, Pushback};

const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a stream that the other side reset has for its code, as gRPC's HTTP/2 mapping has it; all
/// others are unknown.
const RESETS: [(Reason, Code); 12] = [
    (Reason::NO_ERROR, Code::Internal),
    (Reason::PROTOCOL_ERROR, Code::Internal),
    (Reason::INTERNAL_ERROR, Code::Internal),
    (Reason::FLOW_CONTROL_ERROR, Code::Internal),
    (Reason::SETTINGS_TIMEOUT, Code::Internal),
    (Reason::FRAME_SIZE_ERROR, Code::Internal),
    (Reason::REFUSED_STREAM, Code::Unavailable),
    (Reason::CANCEL, Code::Cancelled),
    (Reason::COMPRESSION_ERROR, Code::Internal),
    (Reason::CONNECT_ERROR, Code::Internal),
    (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
    (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
];

/// What an answer without a status has for its code, as gRPC's HTTP mapping has it; all others are
/// unknown, 200 included.
const ANSWERS: [(StatusCode, Code); 8] = [
    (StatusCode::BAD_REQUEST, Code::Internal),
    (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
    (StatusCode::FORBIDDEN, Code::PermissionDenied),
    (StatusCode::NOT_FOUND, Code::Unimplemented),
    (StatusCode::TOO_MANY_REQUESTS, Code::Unavailable),
    (StatusCode::BAD_GATEWAY, Code::Unavailable),
    (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
    (StatusCode::GATEWAY_TIMEOUT, Code::Unavailable),
];

/// What an end looks like that nobody has announced, as of a process that was killed.
const ENDS: [io::ErrorKind; 3] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::ConnectionReset,
];

/// What tonic says of its own timer.
const TIMER: &str = "Timeout expired";

const LOST: Outcome = Outcome::new(Code::Unavailable, Cause::Connection);
const LATE: Outcome = Outcome::new(Code::DeadlineExceeded, Cause::Deadline);

/// The answer ended without a status.
#[derive(Debug)]
pub(crate) struct NoStatus(StatusCode);

/// The outcome that headers or trailers tell, if they do.
///
/// Details that are not base64 are taken out of them, since tonic's clients panic over such.
pub(crate) fn told(headers: &mut HeaderMap) -> Option<Outcome> {
    let code = Code::parse(header::find(headers, &Status::GRPC_STATUS)?.as_bytes());
    let outcome = Outcome::new(code, Cause::Answer);
    if headers.len() == 1 {
        return Some(outcome);
    }
    if code == Code::Cancelled && is_timer(headers) {
        return Some(LATE);
    }
    if let Some(details) = headers.get(Status::GRPC_STATUS_DETAILS)
        && !is_base64(details)
    {
        headers.remove(Status::GRPC_STATUS_DETAILS);
    }
    Some(outcome.with_pushback(pushback(headers)))
}

/// What the caller gets of an answer which says that its service found the time to be over.
pub(crate) fn found_late() -> Status {
    Status::deadline_exceeded("the service found that the time for the call is over")
}

/// Whether it is what tonic's servers say when the time of a call is over by their own clock: CANCELLED,
/// which is no word of the caller's.
fn is_timer(headers: &HeaderMap) -> bool {
    let message = headers.get(Status::GRPC_MESSAGE);
    // A space is the one character of it that is escaped.
    message.is_some_and(|it| {
        it.as_bytes() == TIMER.as_bytes() || it.as_bytes() == b"Timeout%20expired"
    })
}

/// What an answer says that is none of gRPC's, but comes from what stands in between, such as a proxy:
/// there is nothing in its body for a client of gRPC.
pub(crate) fn refused_by_http<B>(response: &Response<B>) -> Option<(Status, Outcome)> {
    let headers = response.headers();
    let is_foreign = header::find(headers, &CONTENT_TYPE)
        .is_some_and(|it| !it.as_bytes().starts_with(b"application/grpc"));
    let status = response.status();
    if (status == StatusCode::OK && !is_foreign) || headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    Some((missing(status), untold(status)))
}

/// The outcome of an answer that ended and did not tell.
pub(crate) fn untold(answer: StatusCode) -> Outcome {
    Outcome::new(find(&ANSWERS, &answer), Cause::NoStatus)
}

/// The outcome of an attempt that failed without an answer.
///
/// tonic's own codes do not tell a killed connection from a service that cancelled or failed, so it
/// is the first known error in the chain of sources that counts; only where there is none, a status
/// that stands in it.
pub(crate) fn failed(error: &(dyn Error + 'static)) -> Outcome {
    let mut never_left = false;
    let mut fallback = None;
    let mut source = Some(error);
    while let Some(error) = source {
        never_left |= error.is::<NeverLeft>();
        match known(error) {
            Some(Known::For(outcome)) if never_left => {
                return outcome.with_processed(Processed::Never);
            }
            Some(Known::For(outcome)) => return outcome,
            Some(Known::Unless(outcome)) => fallback = fallback.or(Some(outcome)),
            None => {}
        }
        source = error.source();
    }
    let outcome = fallback.unwrap_or(Outcome::new(Code::Unknown, Cause::Other));
    if never_left {
        return outcome.with_processed(Processed::Never);
    }
    outcome
}

/// The outcome of an answer that broke off, and the error as the caller is to see it.
///
/// Once there was an answer the request was processed, whatever is said later.
pub(crate) fn broken(error: impl Into<BoxError>) -> (Outcome, Status) {
    let error = error.into();
    let outcome = failed(&*error).with_processed(Processed::Maybe);
    let status = match outcome.cause {
        Cause::Connection => lost(error),
        _ => status(outcome.code, error),
    };
    (outcome, status)
}

/// An error as a status of this code, which has it for its source; or itself, if it is that already.
pub(crate) fn status(code: Code, error: BoxError) -> Status {
    let code = tonic::Code::from_i32(code.number().into());
    let error = match error.downcast::<Status>() {
        Ok(status) if status.code() == code => return *status,
        Ok(status) => status as BoxError,
        Err(error) => error,
    };
    let mut status = Status::new(code, root(&*error).to_string());
    status.set_source(Arc::from(error));
    status
}

/// What the caller gets of a connection that could not be made, or ended.
pub(crate) fn lost(error: BoxError) -> Status {
    let root = root(&*error);
    // Whose own words are about TLS, or about pipes.
    let io = root.downcast_ref::<io::Error>();
    let message = if io.is_some_and(|it| ENDS.contains(&it.kind())) {
        "the connection was lost: the other side has closed it".to_owned()
    } else {
        format!("the connection was lost: {root}")
    };
    let mut status = Status::unavailable(message);
    status.set_source(Arc::from(error));
    status
}

/// What the caller gets at the end of an answer that did not tell.
pub(crate) fn missing(answer: StatusCode) -> Status {
    status(untold(answer).code, Box::new(NoStatus(answer)))
}

enum Known {
    /// It is the one.
    For(Outcome),
    /// Unless its sources know better.
    Unless(Outcome),
}

fn known(error: &(dyn Error + 'static)) -> Option<Known> {
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return Some(Known::For(http2(error)));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Cancelled is what hyper had queued, and closed what it did not even take.
        return Some(if error.is_canceled() || error.is_closed() {
            Known::For(LOST.with_processed(Processed::Never))
        } else if error.is_timeout() {
            Known::For(LOST)
        } else {
            Known::Unless(LOST)
        });
    }
    if error.is::<ConnectError>()
        || error.is::<mainstay_plugin::ConnectError>()
        || error.is::<Closed>()
    {
        return Some(Known::For(LOST.with_processed(Processed::Never)));
    }
    if error.is::<Expired>() || error.is::<TimeoutExpired>() {
        return Some(Known::For(LATE));
    }
    if let Some(NoStatus(answer)) = error.downcast_ref() {
        return Some(Known::For(untold(*answer)));
    }
    if let Some(status) = error.downcast_ref::<Status>() {
        // tonic's own timer, whose error is gone where the status was cloned.
        let timer = status.code() == tonic::Code::Cancelled && status.message() == TIMER;
        return Some(Known::Unless(if timer {
            LATE
        } else {
            Outcome::new(code(status.code()), Cause::Other)
        }));
    }
    error.is::<io::Error>().then_some(Known::For(LOST))
}

fn http2(error: &h2::Error) -> Outcome {
    let code = error
        .reason()
        .map_or(Code::Unknown, |it| find(&RESETS, &it));
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_go_away() && error.is_remote() {
        // It fails those streams only that are above the last one that the other side looked at.
        LOST.with_processed(Processed::Refused)
    } else if error.is_io() || error.is_go_away() {
        LOST
    } else if error.is_reset() && error.is_remote() && refused {
        Outcome::new(code, Cause::Reset).with_processed(Processed::Refused)
    } else if error.is_reset() && (error.is_remote() || error.is_library()) {
        Outcome::new(code, Cause::Reset)
    } else if error.is_reset() {
        // By hyper, because the request's body failed.
        Outcome::new(code, Cause::Request)
    } else {
        Outcome::new(Code::Internal, Cause::Other)
    }
}

fn pushback(headers: &HeaderMap) -> Pushback {
    let mut values = headers.get_all(PUSHBACK).iter();
    match (values.next(), values.next()) {
        (None, _) => Pushback::Absent,
        (Some(value), None) => Pushback::parse(value.as_bytes()),
        // It says more than one thing.
        (Some(_), Some(_)) => Pushback::Never,
    }
}

/// By tonic's own measure.
fn is_base64(value: &HeaderValue) -> bool {
    let name = Status::GRPC_STATUS_DETAILS;
    let alone = MetadataMap::from_headers([(name.clone(), value.clone())].into_iter().collect());
    let value = alone.get_bin(name.as_str());
    value.is_some_and(|it| it.to_bytes().is_ok())
}

pub(crate) fn code(code: tonic::Code) -> Code {
    let index = usize::try_from(i32::from(code)).ok();
    let code = index.and_then(|it| Code::ALL.get(it));
    code.copied().unwrap_or(Code::Unknown)
}

fn find<K: PartialEq>(table: &[(K, Code)], key: &K) -> Code {
    let row = table.iter().find(|(it, _)| it == key);
    row.map_or(Code::Unknown, |(_, code)| *code)
}

/// The last in the chain of sources, which says what happened.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

impl fmt::Display for NoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer ended without a status (HTTP {})", self.0)
    }
}

impl Error for NoStatus {}

#[cfg(test)]
mod tests;
