use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mainstay_request_context::future::BodyResponseFuture;
use mainstay_request_context::{FindPeer, ServerBodyContext};
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tonic::server::NamedService;
use tower_layer::Layer as _;
use tower_service::Service;

use super::body::ServedBody;
use super::{Below, ServerStack, TonicPeer, call};

/// A service of a server with a [`ServerStack`] around it.
///
/// # Readiness
/// It is always ready: each call takes a clone of the service, which it gets ready for itself.
///
/// # Clone
/// Clones share all that the stack's services share.
///
/// # Cancel safety
/// A dropped call, or answer, drops the service's work; nothing else is left of it.
///
/// # Errors
/// None: they are statuses of answers, and trailers where an answer has begun.
///
/// # Panics
/// Outside of tokio's runtime. A panic of the service is INTERNAL to its caller, and an event at the level
/// ERROR that says what it was; it must not abort the process, as with `panic = "abort"` it does.
#[derive(Clone)]
pub struct Served<S, P = TonicPeer> {
    calls: ServerBodyContext<WithoutContext<S>, P>,
}

/// The layers below the context.
#[derive(Clone)]
struct WithoutContext<S> {
    below: Arc<Below>,
    service: S,
}

/// The future of a [`Served`] service.
#[must_use = "futures do nothing unless polled"]
pub struct ServedCall<R>(BodyResponseFuture<Boxed<R>>);

type Boxed<R> = Pin<Box<dyn Future<Output = Result<Response<ServedBody<R>>, Infallible>> + Send>>;

impl<S, P: Clone> Served<S, P> {
    pub(super) fn new(stack: &ServerStack<P>, service: S) -> Self {
        let below = Arc::clone(&stack.below);
        let layer = stack.context.clone().with_bodies();
        Self {
            calls: layer.layer(WithoutContext { below, service }),
        }
    }
}

impl<S, P, Q, R> Service<Request<Q>> for Served<S, P>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    P: FindPeer,
    Q: Send + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ServedCall<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> ServedCall<R> {
        ServedCall(self.calls.call(request))
    }
}

impl<S, Q, R> Service<Request<Q>> for WithoutContext<S>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<ServedBody<R>>;
    type Error = Infallible;
    type Future = Boxed<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Boxed<R> {
        let (below, service) = (Arc::clone(&self.below), self.service.clone());
        Box::pin(call::run(below, service, request))
    }
}

impl<R> Future for ServedCall<R>
where
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = Pin::new(&mut self.get_mut().0).poll(cx);
        response.map_ok(|it| it.map(Body::new))
    }
}

/// A generated server keeps its name, so that it can be routed to.
impl<S: NamedService, P> NamedService for Served<S, P> {
    const NAME: &'static str = S::NAME;
}

impl<S: fmt::Debug, P> fmt::Debug for Served<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for ServedCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedCall").finish_non_exhaustive()
    }
}
