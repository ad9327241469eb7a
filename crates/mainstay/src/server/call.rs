//! One call, from layer to layer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mainstay_request_context as context;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use super::Below;
use super::body::ServedBody;
use super::end::End;
use super::panics::catch;
use crate::counts::Counted;
use crate::limit::Slot;
use crate::outcome::{Cause, Code, Outcome};
use crate::{refusal, status};

/// Who asks whether the server is well is not to hear that it has much to do.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Nor does this call end of itself, and a server that waits for it does not either.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// What a call has got so far; all of which it gives up when it is dropped.
pub(super) struct Running {
    below: Arc<Below>,
    end: End,
    slot: Option<Slot>,
    counted: Counted,
}

pub(super) async fn run<S, Q, R>(
    below: Arc<Below>,
    mut service: S,
    request: Request<Q>,
) -> Result<Response<ServedBody<R>>, Infallible>
where
    S: Service<Request<Q>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut call = Running::new(below, request.uri().path());
    if let Err(status) = call.enter(request.uri().path()).await {
        return Ok(call.refuse(&status));
    }
    call.counted.attempt();
    let answer = async move {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    };
    let mut answer = pin!(Some(answer));
    let answered = poll_fn(|cx| {
        call.poll(cx, |cx| match answer.as_mut().as_pin_mut() {
            Some(answer) => answer.poll(cx),
            None => Poll::Pending,
        })
    });
    let answered = answered.await;
    let dropped = call.try_to(|| answer.set(None));
    let answered = answered.and_then(|it| dropped.map(|()| it));
    Ok(match answered {
        Ok(Ok(response)) => call.commit(response),
        Ok(Err(error)) => call.refuse(&Status::from_error(error.into())),
        Err(status) => call.refuse(&status),
    })
}

impl Running {
    fn new(below: Arc<Below>, path: &str) -> Self {
        let now = Instant::now();
        let shutdown = below.shutdown.as_ref();
        Self {
            end: End::new(now, context::deadline(), shutdown, path == WATCH),
            slot: None,
            counted: below.numbers.counts.begin(),
            below,
        }
    }

    /// Waits for its turn, if there are many calls.
    async fn enter(&mut self, path: &str) -> Result<(), Status> {
        self.end.check()?;
        if let Some(limit) = &self.below.limit
            && !path.starts_with(HEALTH)
        {
            let mut entering = pin!(limit.enter());
            let entered = poll_fn(|cx| match entering.as_mut().poll(cx) {
                Poll::Ready(entered) => Poll::Ready(Ok(entered)),
                Poll::Pending => self.end.poll(cx).map(Err),
            });
            let full = |full| refusal::status(&refusal::of(&full), Box::new(full));
            self.slot = Some(entered.await?.map_err(full)?);
        }
        Ok(())
    }

    /// A piece of the service's work, unless it panics, or has no more time.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Status>> {
        match self.try_to(|| work(cx)) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => self.poll_end(cx).map(Err),
            Err(status) => Poll::Ready(Err(status)),
        }
    }

    /// A piece of the service's work that is done at once, unless it panics.
    pub(super) fn try_to<T>(&self, work: impl FnOnce() -> T) -> Result<T, Status> {
        let done = catch(work);
        if done.is_err() {
            self.below.numbers.panicked.fetch_add(1, Relaxed);
        }
        done
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.end.poll(cx)
    }

    /// The caller has the answer from here on; how it ends is seen by the way.
    fn commit<R>(mut self, mut response: Response<R>) -> Response<ServedBody<R>>
    where
        R: http_body::Body,
    {
        if let Some(outcome) = status::told(response.headers_mut()) {
            self.ended(outcome);
        }
        self.look_at(response.body());
        response.map(|body| ServedBody::new(body, self))
    }

    fn refuse<R>(mut self, status: &Status) -> Response<ServedBody<R>> {
        self.told(status);
        let (head, ()) = status.clone().into_http::<()>().into_parts();
        Response::from_parts(head, ServedBody::empty())
    }

    /// Nobody asks a body for more that says that it is at its end.
    pub(super) fn look_at(&mut self, body: &impl http_body::Body) {
        if body.is_end_stream() {
            self.ended(Outcome::new(Code::Unknown, Cause::NoStatus));
        }
    }

    pub(super) fn told(&mut self, status: &Status) {
        self.ended(Outcome::new(status::code(status.code()), Cause::Answer));
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.counted.end(outcome);
    }
}
