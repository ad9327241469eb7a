use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{
    task::{JoinHandle, futures::TaskLocalFuture},
    task_local,
};

use crate::RequestContext;

task_local! {
    /// `None` where a scope was opened to hide the ones around it.
    static CURRENT: Option<RequestContext>;
}

/// Asks the current context, and runs nothing of the user's meanwhile: the slot is borrowed.
#[inline]
pub(crate) fn current<T>(ask: impl FnOnce(&RequestContext) -> T) -> Option<T> {
    CURRENT.try_with(|it| it.as_ref().map(ask)).ok().flatten()
}

#[inline]
pub(crate) fn enter<T>(context: Option<RequestContext>, run: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(context, run)
}

pin_project! {
    /// A future that runs in a context, whatever runs around it, until it is ready or dropped.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        #[pin]
        future: TaskLocalFuture<Option<RequestContext>, F>,
    }
}

impl<F: Future> Scoped<F> {
    #[inline]
    pub(crate) fn new(context: Option<RequestContext>, future: F) -> Self {
        Self {
            future: CURRENT.scope(context, future),
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Gives a context to futures.
pub trait InContext: Future + Sized {
    /// Runs in this context, also when it is dropped; or in none.
    ///
    /// Scopes nest: where this one ends, the one around it is current again, also after a panic.
    fn in_context(self, context: impl Into<Option<RequestContext>>) -> Scoped<Self> {
        Scoped::new(context.into(), self)
    }

    /// Runs in the context in which this is called, wherever it is polled.
    fn in_current_context(self) -> Scoped<Self> {
        Scoped::new(RequestContext::current(), self)
    }
}

impl<F: Future> InContext for F {}

impl RequestContext {
    /// Runs a closure in this context.
    pub fn in_scope<T>(self, run: impl FnOnce() -> T) -> T {
        enter(Some(self), run)
    }
}

/// Spawns a task that inherits the [current](RequestContext::current) context, where `tokio::spawn`
/// begins without one. It may outlive the request: its deadline stays, and it is not among the requests
/// in flight. The `tracing` span stays behind too.
///
/// # Panics
/// Outside of a tokio runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(future.in_current_context())
}
