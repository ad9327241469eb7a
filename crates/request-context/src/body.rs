use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use crate::{
    AddFields, FindPeer, NoFields, PlainPeer, RequestContext, ServerContext, ServerContextLayer,
    future::ResponseFuture,
    in_flight::{Entry, Leaving},
    scope,
};

/// Calls services in the context of each request, and has the bodies of their responses read in it: for
/// streams of answers. Made by [`ServerContextLayer::with_bodies`].
#[derive(Clone, Debug)]
pub struct ServerBodyContextLayer<P = PlainPeer, F = NoFields>(ServerContextLayer<P, F>);

/// A service that is called, and whose answer is read, in the context of each request.
#[derive(Clone, Debug)]
pub struct ServerBodyContext<S, P = PlainPeer, F = NoFields>(ServerContext<S, P, F>);

impl<P, F> ServerContextLayer<P, F> {
    /// Has the context, the span and the place among those in flight last until the body of the response
    /// has been read to its end, or is dropped.
    #[must_use]
    pub fn with_bodies(self) -> ServerBodyContextLayer<P, F> {
        ServerBodyContextLayer(self)
    }
}

impl<S, P: Clone, F: Clone> Layer<S> for ServerBodyContextLayer<P, F> {
    type Service = ServerBodyContext<S, P, F>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerBodyContext(self.0.layer(inner))
    }
}

impl<S, P, F, B, C> Service<Request<B>> for ServerBodyContext<S, P, F>
where
    S: Service<Request<B>, Response = Response<C>>,
    P: FindPeer,
    F: AddFields,
{
    type Response = Response<ContextBody<C>>;
    type Error = S::Error;
    type Future = BodyResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        BodyResponseFuture {
            response: self.0.call(request),
        }
    }
}

pin_project! {
    /// The response of a service, whose body goes on in the context of its request.
    #[derive(Debug)]
    pub struct BodyResponseFuture<F> {
        #[pin]
        response: ResponseFuture<F>,
    }
}

impl<F, B, E> Future for BodyResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ContextBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().response;
        let result = ready!(future.as_mut().poll_and_stay(cx));
        // An error ends it here.
        let (context, span, entry) = future.go_on();
        Poll::Ready(result.map(|response| {
            response.map(|body| ContextBody {
                body: Some(body),
                context,
                span,
                entry,
            })
        }))
    }
}

pin_project! {
    /// The body of a response, read and dropped in the context of its request.
    pub struct ContextBody<B> {
        // `None` only while it is dropped.
        #[pin]
        body: Option<B>,
        context: Option<RequestContext>,
        span: Span,
        entry: Option<Entry>,
    }

    impl<B> PinnedDrop for ContextBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _scope = scope::enter(this.context);
            let _span = this.span.enter();
            this.body.set(None);
        }
    }
}

impl<B: Body> Body for ContextBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        // Should it panic, it is no longer in flight.
        let leaving = Leaving(this.entry);
        let _scope = scope::enter(this.context);
        let _span = this.span.enter();
        let body = this.body.as_pin_mut();
        let body = body.expect("it is there until it is dropped");
        let frame = body.poll_frame(cx);
        if matches!(frame, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            leaving.stay();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}

impl<B> fmt::Debug for ContextBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBody")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
