use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{ItemError, Map};

pin_project! {
    /// All results of a [`Map`], in the order of its items.
    pub struct Collect<St: Stream, S, F, Out> {
        #[pin]
        map: Map<St, S, F, Out>,
        results: Placed<Out>,
    }
}

pin_project! {
    /// All values of a [`Map`], in the order of its items, or its first error.
    pub struct TryCollect<St: Stream, S, F, Out, R> {
        // Dropped as soon as one item has failed.
        #[pin]
        map: Option<Map<St, S, F, Out>>,
        values: Placed<R>,
    }
}

/// Results that come in any order, each with its number.
struct Placed<T>(Vec<Option<T>>);

impl<St: Stream, S, F, Out> Collect<St, S, F, Out> {
    pub(crate) const fn new(map: Map<St, S, F, Out>) -> Self {
        Self {
            map,
            results: Placed(Vec::new()),
        }
    }
}

impl<St: Stream, S, F, Out, R> TryCollect<St, S, F, Out, R> {
    pub(crate) const fn new(map: Map<St, S, F, Out>) -> Self {
        Self {
            map: Some(map),
            values: Placed(Vec::new()),
        }
    }
}

impl<St, S, T, E> Future for Collect<St, S, S::Future, Result<S::Response, ItemError<E>>>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
    S: Service<T, Error = E>,
{
    type Output = Vec<Result<S::Response, ItemError<E>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        while let Some((number, result)) = ready!(this.map.as_mut().poll_numbered(cx)) {
            this.results.put(number, result);
        }
        Poll::Ready(this.results.take())
    }
}

impl<St, S, T, R, E> Future for TryCollect<St, S, S::Future, Result<R, ItemError<E>>, R>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
    S: Service<T, Response = R, Error = E>,
{
    type Output = Result<Vec<R>, ItemError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let map = this.map.as_mut().as_pin_mut();
            let map = map.expect("polled again after it was ready");
            match ready!(map.poll_numbered(cx)) {
                Some((number, Ok(value))) => this.values.put(number, value),
                Some((_, Err(error))) => {
                    this.map.set(None);
                    return Poll::Ready(Err(error));
                }
                None => {
                    this.map.set(None);
                    return Poll::Ready(Ok(this.values.take()));
                }
            }
        }
    }
}

impl<T> Placed<T> {
    fn put(&mut self, number: u64, result: T) {
        let place = number as usize;
        if place >= self.0.len() {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(result);
    }

    fn take(&mut self) -> Vec<T> {
        let results = mem::take(&mut self.0).into_iter();
        results
            .map(|it| it.expect("each item has a result when the map is over"))
            .collect()
    }
}

impl<St: Stream, S, F, Out> fmt::Debug for Collect<St, S, F, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collect")
    }
}

impl<St: Stream, S, F, Out, R> fmt::Debug for TryCollect<St, S, F, Out, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TryCollect")
    }
}
