use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::codegen::StdError as BoxError;

use crate::deadline::{Deadline, Expired, Whose};

/// The body of an answer that fails when the time of its call is over.
#[derive(Debug)]
pub(crate) struct Timed<B> {
    body: B,
    end: Option<Pin<Box<Sleep>>>,
    within: Duration,
}

impl<B> Timed<B> {
    /// For a call that began at `began`.
    pub(crate) fn new(body: B, began: Instant, deadline: Option<Deadline>) -> Self {
        Self {
            body,
            end: deadline.map(|it| Box::pin(sleep_until(it.instant()))),
            within: deadline.map_or(Duration::ZERO, |it| it.remaining(began)),
        }
    }
}

impl<B> Body for Timed<B>
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        // First, since there may always be another frame.
        if let Some(end) = &mut this.end
            && end.as_mut().poll(cx).is_ready()
        {
            let expired = Expired {
                whose: Whose::Call,
                within: this.within,
            };
            return Poll::Ready(Some(Err(expired.into())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|it| it.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
