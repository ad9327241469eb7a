use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{Concurrency, ItemError, Map, Panicked, function::Function};

/// After so many items that were left out in a row the task yields.
const YIELD_AFTER: usize = 128;

/// Stages of work on a stream of results, one behind the other.
///
/// An item that has failed in one stage passes through all later ones. [`map_stream`] and
/// [`map_concurrent`] are the first stage of any stream or iterator.
///
/// [`map_stream`]: crate::map_stream
/// [`map_concurrent`]: crate::map_concurrent
pub trait Stages<T, E>: Stream<Item = Result<T, ItemError<E>>> + Sized {
    /// Works on each item, so many at once, in order unless [`Map::unordered`].
    fn transform<F, Fut, R>(
        self,
        concurrency: Concurrency,
        f: F,
    ) -> Map<Self, Function<F>, Fut, Result<R, ItemError<E>>>
    where
        F: FnMut(T) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        Map::new(self, concurrency, Function::new(f))
    }

    /// Works on each item through a service, so many at once.
    fn transform_through<S>(
        self,
        concurrency: Concurrency,
        service: S,
    ) -> Map<Self, S, S::Future, Result<S::Response, ItemError<E>>>
    where
        S: Service<T, Error = E>,
    {
        Map::new(self, concurrency, service)
    }

    /// Leaves out the items of which the closure says no. If it panics, that is the item's result.
    fn keep_if<F>(self, f: F) -> KeepIf<Self, F>
    where
        F: FnMut(&T) -> bool,
    {
        KeepIf { stream: self, f }
    }

    /// Leaves out the items that are `None`: behind [`transform`](Self::transform), a filter that
    /// itself is asynchronous.
    fn keep_some(self) -> KeepSome<Self> {
        KeepSome { stream: self }
    }
}

impl<St, T, E> Stages<T, E> for St where St: Stream<Item = Result<T, ItemError<E>>> {}

pin_project! {
    /// A stage that leaves out what a closure does not want.
    pub struct KeepIf<St, F> {
        #[pin]
        stream: St,
        f: F,
    }
}

pin_project! {
    /// A stage that leaves out what is `None`.
    pub struct KeepSome<St> {
        #[pin]
        stream: St,
    }
}

impl<St, F, T, E> Stream for KeepIf<St, F>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
    F: FnMut(&T) -> bool,
{
    type Item = Result<T, ItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        poll_kept(this.stream, cx, |item| {
            match catch_unwind(AssertUnwindSafe(|| (this.f)(&item))) {
                Ok(is_kept) => is_kept.then_some(Ok(item)),
                Err(panic) => Some(Err(ItemError::Panicked(Panicked::new(&*panic)))),
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.stream.size_hint().1)
    }
}

impl<St, T, E> Stream for KeepSome<St>
where
    St: Stream<Item = Result<Option<T>, ItemError<E>>>,
{
    type Item = Result<T, ItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll_kept(self.project().stream, cx, |item| item.map(Ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.stream.size_hint().1)
    }
}

/// The next item of which something is kept, or that has failed.
fn poll_kept<St, T, R, E>(
    mut stream: Pin<&mut St>,
    cx: &mut Context<'_>,
    mut keep: impl FnMut(T) -> Option<Result<R, ItemError<E>>>,
) -> Poll<Option<Result<R, ItemError<E>>>>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
{
    for _ in 0..YIELD_AFTER {
        let kept = match ready!(stream.as_mut().poll_next(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(item)) => keep(item),
        };
        if kept.is_some() {
            return Poll::Ready(kept);
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl<St: fmt::Debug, F> fmt::Debug for KeepIf<St, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeepIf").field(&self.stream).finish()
    }
}

impl<St: fmt::Debug> fmt::Debug for KeepSome<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeepSome").field(&self.stream).finish()
    }
}
