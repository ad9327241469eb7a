//! The futures of this crate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::Span;

#[cfg(feature = "http-body")]
pub use crate::body::BodyResponseFuture;
pub use crate::scope::Scoped;
use crate::{
    InFlight, RequestContext,
    in_flight::{Entry, Leaving},
    scope,
};

pin_project! {
    /// The response of a service that is called in the context of its request.
    ///
    /// Ready, dropped or panicked, it is no longer in flight; what the service has made for it is
    /// dropped before that, in the context and the span.
    pub struct ResponseFuture<F> {
        // `None` when it is ready.
        #[pin]
        future: Option<F>,
        context: Option<RequestContext>,
        span: Span,
        entry: Option<Entry>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _scope = scope::enter(this.context);
                let _span = this.span.enter();
                this.future.set(None);
            }
        }
    }
}

impl<F> ResponseFuture<F> {
    /// Calls a service in the context.
    #[inline]
    pub(crate) fn call<S, R>(
        context: RequestContext,
        span: Span,
        in_flight: Option<&InFlight>,
        service: &mut S,
        request: R,
    ) -> Self
    where
        S: Service<R, Future = F>,
    {
        let entry = in_flight.map(|it| it.enter(&context));
        let mut context = Some(context);
        let future = {
            let _scope = scope::enter(&mut context);
            let _span = span.enter();
            service.call(request)
        };
        Self {
            future: Some(future),
            context,
            span,
            entry,
        }
    }
}

#[cfg(feature = "http-body")]
impl<F> ResponseFuture<F> {
    /// What goes on with the body.
    pub(crate) fn go_on(self: Pin<&mut Self>) -> (Option<RequestContext>, Span, Option<Entry>) {
        let this = self.project();
        (this.context.take(), this.span.clone(), this.entry.take())
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = self.as_mut().poll_and_stay(cx);
        if poll.is_ready() {
            *self.project().entry = None;
        }
        poll
    }
}

impl<F: Future> ResponseFuture<F> {
    /// Ready, it is still in flight, until the entry is taken.
    #[inline]
    pub(crate) fn poll_and_stay(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        // Should it panic, it is no longer in flight, whether or not the future is dropped at once.
        let leaving = Leaving(this.entry);
        let _scope = scope::enter(this.context);
        let _span = this.span.enter();
        let future = this.future.as_mut().as_pin_mut();
        let poll = future.expect("polled again after it was ready").poll(cx);
        if poll.is_ready() {
            this.future.set(None);
        }
        leaving.stay();
        poll
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("entry", &self.entry)
            .finish_non_exhaustive()
    }
}
