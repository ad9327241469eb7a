//! The futures of this crate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::Span;

pub use crate::scope::Scoped;
use crate::{RequestContext, in_flight::Entry};

pin_project! {
    /// The response of a service that is called in the context of its request.
    ///
    /// Ready, dropped or panicked, it is no longer in flight; what the service has made for it is
    /// dropped before that, in the context and the span.
    pub struct ResponseFuture<F> {
        // `None` when it is ready.
        #[pin]
        future: Option<Scoped<F>>,
        span: Span,
        entry: Option<Entry>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = this.span.enter();
                this.future.set(None);
            }
        }
    }
}

impl<F: Future> ResponseFuture<F> {
    #[inline]
    pub(crate) fn new(
        context: RequestContext,
        span: Span,
        entry: Option<Entry>,
        future: F,
    ) -> Self {
        Self {
            future: Some(Scoped::new(Some(context), future)),
            span,
            entry,
        }
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        // Should it panic, it is no longer in flight, whether or not the future is dropped at once.
        let entry = this.entry.take();
        let entered = this.span.enter();
        let future = this.future.as_mut().as_pin_mut();
        let poll = future.expect("polled again after it was ready").poll(cx);
        if poll.is_ready() {
            this.future.set(None);
        } else {
            *this.entry = entry;
        }
        drop(entered);
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
