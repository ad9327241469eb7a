use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mainstay_request_context::ClientContext;
use mainstay_request_context::future::ResponseFuture;
use mainstay_retry_backoff::{Budget, ExponentialBackoff, GrpcThrottle};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{Stack, cached, call};
use crate::snapshot::Snapshot;

/// A gRPC service with a [`Stack`] around it; generated clients work on it as on a channel.
///
/// # Readiness
/// It is always ready: what there is to wait for, the call waits for, up to its deadline.
///
/// # Clone
/// Clones share all that the stack's services share.
///
/// # Cancel safety
/// A dropped call, or answer, resets its stream; nothing else is left of it.
///
/// # Errors
/// Statuses, whose sources say what was refused or what failed. A service below that fails to get ready
/// is broken for good, as tower has it: that call fails, and is not tried again. Of several attempts it is
/// the last that is told of, also if that was refused.
///
/// # Panics
/// Outside of tokio's runtime. A panic of the service, or of a budget of yours, goes on to the caller, and
/// nothing is left of the call; of a method whose answers are [kept](crate::AnswerCache) it is INTERNAL to
/// all who wait.
pub struct Stacked<S, B = ExponentialBackoff, G = GrpcThrottle> {
    calls: ClientContext<WithoutContext<S, B, G>>,
}

/// The layers below the context.
struct WithoutContext<S, B, G> {
    stack: Arc<Stack<B, G>>,
    service: S,
}

/// The future of a [`Stacked`] service.
#[must_use = "futures do nothing unless polled"]
pub struct Call(Either);

enum Either {
    InContext(ResponseFuture<Boxed>),
    Without(Boxed),
}

type Boxed = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

impl<S, B, G> Stacked<S, B, G> {
    pub(super) fn new(stack: Arc<Stack<B, G>>, service: S) -> Self {
        let layer = stack.context.layer();
        let calls = layer.layer(WithoutContext { stack, service });
        Self { calls }
    }

    /// The stack that is around the service.
    pub fn stack(&self) -> &Stack<B, G> {
        &self.calls.get_ref().stack
    }

    /// What has come through the stack, and how its layers are.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.stack().snapshot()
    }
}

impl<S, R, B, G> Service<Request<Body>> for Stacked<S, B, G>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration> + Clone + Send + Sync + 'static,
    B::IntoIter: Send,
    G: Budget + Clone + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Status;
    type Future = Call;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Call {
        Call(if self.stack().context.is_wanted() {
            Either::InContext(self.calls.call(request))
        } else {
            Either::Without(self.calls.get_mut().call(request))
        })
    }
}

impl<S, R, B, G> Service<Request<Body>> for WithoutContext<S, B, G>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration> + Clone + Send + Sync + 'static,
    B::IntoIter: Send,
    G: Budget + Clone + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Status;
    type Future = Boxed;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Boxed {
        let (stack, service) = (Arc::clone(&self.stack), self.service.clone());
        if let Some(cache) = &self.stack.cache
            && let Some(rule) = cache.rule(request.uri().path(), request.headers())
        {
            let (cache, rule) = (cache.clone(), Arc::clone(rule));
            return Box::pin(cached::run(stack, cache, rule, service, request));
        }
        Box::pin(call::run(stack, service, request))
    }
}

impl Future for Call {
    type Output = Result<Response<Body>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Either::InContext(call) => Pin::new(call).poll(cx),
            Either::Without(call) => call.as_mut().poll(cx),
        }
    }
}

impl<S: Clone, B, G> Clone for Stacked<S, B, G> {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
        }
    }
}

impl<S: Clone, B, G> Clone for WithoutContext<S, B, G> {
    fn clone(&self) -> Self {
        Self {
            stack: Arc::clone(&self.stack),
            service: self.service.clone(),
        }
    }
}

impl<S: fmt::Debug, B, G> fmt::Debug for Stacked<S, B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stacked")
            .field("stack", self.stack())
            .field("service", &self.calls.get_ref().service)
            .finish()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
