use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::ItemError;

/// The items of an iterator, none of them an error yet.
pub struct Items<I, E> {
    iterator: I,
    error: PhantomData<fn() -> E>,
}

pin_project! {
    /// The items of a stream, none of them an error yet.
    pub struct OkItems<St, E> {
        #[pin]
        stream: St,
        error: PhantomData<fn() -> E>,
    }
}

impl<I, E> Items<I, E> {
    pub(crate) const fn new(iterator: I) -> Self {
        Self {
            iterator,
            error: PhantomData,
        }
    }
}

impl<St, E> OkItems<St, E> {
    pub(crate) const fn new(stream: St) -> Self {
        Self {
            stream,
            error: PhantomData,
        }
    }
}

impl<I: Iterator, E> Stream for Items<I, E> {
    type Item = Result<I::Item, ItemError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.iterator.next().map(Ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iterator.size_hint()
    }
}

impl<St: Stream, E> Stream for OkItems<St, E> {
    type Item = Result<St::Item, ItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(item.map(Ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// An iterator is never pinned.
impl<I, E> Unpin for Items<I, E> {}

impl<I, E> fmt::Debug for Items<I, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

impl<St, E> fmt::Debug for OkItems<St, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OkItems")
    }
}
