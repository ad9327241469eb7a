use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::StdError as BoxError;

use crate::outcome::{Cause, Code, Outcome};
use crate::status;

/// The body of an answer that goes to the caller as it comes. How it ended is told once, by its
/// trailers, its error, or its drop.
///
/// Errors become the statuses that the caller is to see, and so does an end without one.
#[derive(Debug)]
pub(crate) struct Watch<B: Body, F: FnOnce(Outcome)> {
    /// Until it has ended: nothing is to be held by one that its caller keeps.
    body: Option<B>,
    answer: StatusCode,
    tell: Option<F>,
}

/// What a frame of an answer means.
pub(super) enum Seen {
    Data(Bytes),
    End(Outcome, Result<HeaderMap, Status>),
}

impl<B: Body, F: FnOnce(Outcome)> Watch<B, F> {
    /// The body of an answer with this HTTP status, whose headers did not tell how it ends.
    pub(crate) const fn new(body: B, answer: StatusCode, tell: F) -> Self {
        Self {
            body: Some(body),
            answer,
            tell: Some(tell),
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        self.body = None;
        if let Some(tell) = self.tell.take() {
            tell(outcome);
        }
    }
}

impl<B, F> Body for Watch<B, F>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    F: FnOnce(Outcome),
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(Some(match Seen::new(frame, this.answer) {
            Seen::Data(data) => Ok(Frame::data(data)),
            Seen::End(outcome, end) => {
                this.ended(outcome);
                end.map(Frame::trailers)
            }
        }))
    }

    /// Not when the inner body has ended, since an end without trailers is an error here.
    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What is told to is never pinned.
impl<B: Body + Unpin, F: FnOnce(Outcome)> Unpin for Watch<B, F> {}

impl<B: Body, F: FnOnce(Outcome)> Drop for Watch<B, F> {
    fn drop(&mut self) {
        self.ended(Outcome::new(Code::Cancelled, Cause::Dropped));
    }
}

impl Seen {
    pub(super) fn new<E: Into<BoxError>>(
        frame: Option<Result<Frame<Bytes>, E>>,
        answer: StatusCode,
    ) -> Self {
        let trailers = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Self::Data(data),
                Err(frame) => frame.into_trailers().ok(),
            },
            Some(Err(error)) => {
                let (outcome, status) = status::broken(error);
                return Self::End(outcome, Err(status));
            }
            None => None,
        };
        if let Some(mut trailers) = trailers
            && let Some(outcome) = status::told(&mut trailers)
        {
            let end = match outcome.cause {
                Cause::Deadline => Err(status::found_late()),
                _ => Ok(trailers),
            };
            return Self::End(outcome, end);
        }
        Self::End(status::untold(answer), Err(status::missing(answer)))
    }
}

#[cfg(test)]
pub(super) mod tests;
