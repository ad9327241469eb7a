use std::{
    cell::RefCell,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::RequestContext;

thread_local! {
    /// That of the task which runs on this thread: each scope puts its own here for as long as it is
    /// polled, and takes it away again. This is what tokio's task locals do; those must be given a value
    /// of their own for each time, which is a count of references that all threads of a request write.
    static CURRENT: RefCell<Option<RequestContext>> = const { RefCell::new(None) };
}

/// Asks the current context, and runs nothing of the user's meanwhile: the slot is borrowed.
#[inline]
pub(crate) fn current<T>(ask: impl FnOnce(&RequestContext) -> T) -> Option<T> {
    CURRENT.try_with(|it| it.borrow().as_ref().map(ask)).ok()?
}

/// This context, or none, is the current one until that is dropped, also by a panic. Then it is in its place
/// again. (A closure would do, but the request would have to be moved into it.)
#[inline]
pub(crate) fn enter(context: &mut Option<RequestContext>) -> Entered<'_> {
    swap(context);
    Entered(context)
}

#[must_use]
pub(crate) struct Entered<'a>(&'a mut Option<RequestContext>);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        swap(self.0);
    }
}

/// On a thread that is ending, whose slot has gone, there is no current context any more.
#[inline]
fn swap(context: &mut Option<RequestContext>) {
    let _ = CURRENT.try_with(|it| mem::swap(&mut *it.borrow_mut(), context));
}

pin_project! {
    /// A future that runs in a context, whatever runs around it, until it is ready or dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct Scoped<F> {
        // `None` when it is ready.
        #[pin]
        future: Option<F>,
        context: Option<RequestContext>,
    }

    impl<F> PinnedDrop for Scoped<F> {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = enter(this.context);
                this.future.set(None);
            }
        }
    }
}

impl<F> Scoped<F> {
    #[inline]
    pub(crate) const fn new(context: Option<RequestContext>, future: F) -> Self {
        Self {
            future: Some(future),
            context,
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    /// # Panics
    /// After it was ready.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = enter(this.context);
        let future = this.future.as_mut().as_pin_mut();
        let poll = future.expect("polled again after it was ready").poll(cx);
        if poll.is_ready() {
            this.future.set(None);
        }
        poll
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped")
            .field("context", &self.context)
            .finish_non_exhaustive()
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
        let mut context = Some(self);
        let _entered = enter(&mut context);
        run()
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
