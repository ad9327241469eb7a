use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::connection::Connection;
use crate::in_flight::{InFlight, Until, sealed};
use crate::lending::Lending;

/// The connection is given back when the body of the response has been read to its end.
#[derive(Clone, Copy, Debug)]
pub enum Read {}

pin_project! {
    /// The body of a response, with the connection that it comes over.
    ///
    /// The connection is given back when the body has ended. If the body fails, or is dropped before its
    /// end, the connection is not lent again, unless it says that it can be
    /// [reused](Connection::is_reusable).
    pub struct LentBody<B, C: Connection, L: Lending<C>> {
        #[pin]
        body: B,
        in_flight: Option<InFlight<C, L>>,
    }
}

impl<C: Connection, L: Lending<C>, B: Body> Until<C, L, http::Response<B>> for Read {}

impl<C: Connection, L: Lending<C>, B: Body> sealed::Until<C, L, http::Response<B>> for Read {
    type Response = http::Response<LentBody<B, C, L>>;

    #[allow(private_interfaces, reason = "sealed")]
    fn hold(response: http::Response<B>, in_flight: InFlight<C, L>) -> Self::Response {
        response.map(|body| {
            let mut in_flight = Some(in_flight);
            if body.is_end_stream()
                && let Some(in_flight) = in_flight.take()
            {
                in_flight.end();
            }
            LentBody { body, in_flight }
        })
    }
}

impl<B: Body, C: Connection, L: Lending<C>> Body for LentBody<B, C, L> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => *this.in_flight = None,
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            _ => {
                if let Some(in_flight) = this.in_flight.take() {
                    in_flight.end();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, C: Connection, L: Lending<C>> fmt::Debug for LentBody<B, C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentBody")
            .field("body", &self.body)
            .field("lent", &self.in_flight.is_some())
            .finish()
    }
}
