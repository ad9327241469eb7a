use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tonic::Status;
use tonic::codegen::StdError as BoxError;

use super::call::Running;
use crate::outcome::{Cause, Code, Outcome};
use crate::status;

/// The body of an answer, with what its call has got until it has ended.
///
/// Whatever goes wrong with it becomes trailers: an error would reset the stream, and say nothing.
pub(super) struct ServedBody<R>(Option<(R, Running)>);

impl<R> ServedBody<R> {
    pub(super) const fn new(body: R, call: Running) -> Self {
        Self(Some((body, call)))
    }

    pub(super) const fn empty() -> Self {
        Self(None)
    }
}

impl<R> Body for ServedBody<R>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some((body, call)) = &mut this.0 else {
            return Poll::Ready(None);
        };
        // First, since there may always be another frame.
        let frame = match call.poll_end(cx) {
            Poll::Ready(status) => Err(status),
            Poll::Pending => ready!(call.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx))),
        };
        let end = match frame {
            Ok(Some(Ok(frame))) if frame.is_data() => {
                call.look_at(body);
                return Poll::Ready(Some(Ok(frame)));
            }
            Ok(Some(Ok(frame))) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    if let Some(outcome) = status::told(&mut trailers) {
                        call.ended(outcome);
                    }
                    Some(trailers)
                }
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
            Ok(Some(Err(error))) => Some(trailers(call, &Status::from_error(error.into()))),
            Ok(None) => None,
            Err(status) => Some(trailers(call, &status)),
        };
        // Of an answer that has told nothing to its end; no other is open by now.
        call.ended(Outcome::new(Code::Unknown, Cause::NoStatus));
        if let Some((body, call)) = this.0.take() {
            // Nobody is to be told any more: it has ended.
            let _ = call.try_to(|| drop(body));
        }
        Poll::Ready(end.map(|it| Ok(Frame::trailers(it))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }
}

fn trailers(call: &mut Running, status: &Status) -> HeaderMap {
    call.told(status);
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Its message cannot be said in a header.
        trailers.insert(Status::GRPC_STATUS, i32::from(status.code()).into());
    }
    trailers
}
