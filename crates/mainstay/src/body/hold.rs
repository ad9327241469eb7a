use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use tonic::Status;
use tonic::codegen::StdError as BoxError;

use super::chunks::Chunks;
use super::watch::Seen;
use crate::outcome::Outcome;
use crate::status;

/// Keeps the answer of a method that gives one message until its trailers are there, and judges it.
///
/// Nothing but the limit bounds what is kept: reading frees the other side to send more. An answer
/// above it is not judged, and goes to the caller as it comes.
#[derive(Debug)]
pub(crate) struct Hold<B> {
    /// Until it is given out.
    answer: Option<(Parts, B)>,
    /// By its headers: it is the whole of an answer that has no body.
    told: Option<Outcome>,
    chunks: Chunks,
    size: usize,
    /// How many frames it came in, empty ones included.
    frames: usize,
    limit: usize,
}

/// What it takes to keep the frames of an answer may be as much as the answer, and this in any case.
const OVERHEAD: usize = 1 << 10;

/// What is known of an answer.
#[derive(Debug)]
pub(crate) struct Judged<B> {
    pub(crate) response: Response<Held<B>>,
    /// None if it is above the limit: its caller has it, so it cannot be asked for again, and how it
    /// ends is for a [`Watch`](super::Watch) to see.
    pub(crate) outcome: Option<Outcome>,
}

/// The body of an answer that was kept: what there is of it, then its end, or the rest of it.
#[derive(Debug)]
pub(crate) struct Held<B> {
    chunks: Chunks,
    then: Then<B>,
}

#[derive(Debug)]
pub(super) enum Then<B> {
    /// The rest, as it comes.
    Body(B),
    Trailers(HeaderMap),
    Failed(Status),
    Nothing,
}

impl<B> Hold<B> {
    /// Keeps at most `limit` bytes, and as much again that it takes to keep them.
    pub(crate) fn new(mut response: Response<B>, limit: usize) -> Self {
        Self {
            told: status::told(response.headers_mut()),
            answer: Some(response.into_parts()),
            chunks: Chunks::default(),
            size: 0,
            frames: 0,
            limit,
        }
    }
}

/// Whether so many bytes in so many frames are above a limit, by themselves or by what it takes to keep
/// them.
pub(super) fn is_above(limit: usize, size: usize, frames: usize) -> bool {
    let overhead = frames.saturating_mul(size_of::<Bytes>());
    size > limit || overhead > limit.max(OVERHEAD)
}

impl<B> Held<B> {
    pub(super) const fn new(chunks: Chunks, then: Then<B>) -> Self {
        Self { chunks, then }
    }

    /// The body of an answer of which nothing was kept.
    pub(crate) fn nothing_of(body: B) -> Self {
        Self {
            chunks: Chunks::default(),
            then: Then::Body(body),
        }
    }
}

impl<B> Future for Hold<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Output = Judged<B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Judged<B>> {
        let this = self.get_mut();
        let (outcome, then) = loop {
            if this.told.is_some() {
                break (this.told, None);
            }
            let (head, body) = this.answer.as_mut().expect("polled after it was ready");
            let frame = ready!(Pin::new(body).poll_frame(cx));
            match Seen::new(frame, head.status) {
                Seen::Data(chunk) => {
                    this.size = this.size.saturating_add(chunk.len());
                    this.frames += 1;
                    this.chunks.push(chunk);
                    if is_above(this.limit, this.size, this.frames) {
                        break (None, None);
                    }
                }
                Seen::End(outcome, end) => {
                    break (
                        Some(outcome),
                        Some(end.map_or_else(Then::Failed, Then::Trailers)),
                    );
                }
            }
        };
        let (head, body) = this.answer.take().expect("it was there above");
        let held = Held {
            chunks: std::mem::take(&mut this.chunks),
            then: then.unwrap_or(Then::Body(body)),
        };
        Poll::Ready(Judged {
            response: Response::from_parts(head, held),
            outcome,
        })
    }
}

impl<B> Body for Held<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(chunk) = this.chunks.pop() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Then::Body(body) = &mut this.then {
            return Pin::new(body)
                .poll_frame(cx)
                .map(|it| it.map(|frame| frame.map_err(Into::into)));
        }
        Poll::Ready(match std::mem::replace(&mut this.then, Then::Nothing) {
            Then::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Then::Failed(status) => Some(Err(status.into())),
            Then::Body(_) | Then::Nothing => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
            && match &self.then {
                Then::Body(body) => body.is_end_stream(),
                Then::Trailers(_) | Then::Failed(_) => false,
                Then::Nothing => true,
            }
    }
}

#[cfg(test)]
mod tests;
