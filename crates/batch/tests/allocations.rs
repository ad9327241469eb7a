//! What an item allocates.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use futures_core::Stream;
use mainstay_batch::{Batch, Concurrency, Limits, Loader, map_concurrent};
use tower::Service;

/// A million items, whose memory is that of the places.
#[test]
fn a_million_items_of_a_map_allocate_no_more_than_the_places_for_64() {
    let at_once = Concurrency::new(64).unwrap();
    for is_ordered in [true, false] {
        let mut cx = Context::from_waker(Waker::noop());
        let map = map_concurrent(0..1_000_000_u64, at_once, |it| {
            let mut yields = it % 2 == 0;
            std::future::poll_fn(move |cx| {
                if std::mem::take(&mut yields) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Ok::<_, Infallible>(it))
            })
        });
        let mut map = pin!(if is_ordered { map } else { map.unordered() });
        let mut taken = 0;
        let mut take = |count| {
            while taken < count {
                match map.as_mut().poll_next(&mut cx) {
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(_)) => taken += 1,
                    Poll::Pending => {}
                }
            }
            taken
        };
        let allocated = measure(|| assert_eq!(take(1_000_000), 1_000_000));
        // A place and its waker for each, and a few lists.
        let count = allocated.count_total;
        assert!(count <= 2 * 64 + 20, "{count}, ordered: {is_ordered}");
    }
}

#[test]
fn a_batch_of_a_hundred_allocates_a_few_times_and_not_for_each_item() {
    let limits = Limits::new(100).unwrap();
    let (mut batch, worker) = Batch::pair(Echo, limits);
    let mut worker = pin!(worker);
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = Vec::with_capacity(100);
    let mut round = || {
        for item in 0..100 {
            assert!(batch.poll_ready(&mut cx).is_ready());
            let mut call = batch.call(item);
            assert!(Future::poll(std::pin::Pin::new(&mut call), &mut cx).is_pending());
            calls.push(call);
        }
        assert!(worker.as_mut().poll(&mut cx).is_pending());
        for mut call in calls.drain(..) {
            assert!(Future::poll(std::pin::Pin::new(&mut call), &mut cx).is_ready());
        }
    };
    round();
    let allocated = measure(|| (0..10).for_each(|_| round()));
    let per_item = allocated.count_total as f64 / 1_000.0;
    assert!(per_item <= 0.25, "{per_item} for each item");
    assert_eq!(allocated.count_current, 0);
}

/// Each key is another, and none is waited for to the end.
#[test]
fn loads_that_were_given_up_leave_nothing_behind() {
    let service = tower::service_fn(|keys: Vec<u64>| {
        let found = keys.into_iter().map(|it| Ok::<_, Infallible>(Some(it)));
        ready(Ok::<Vec<_>, Infallible>(found.collect()))
    });
    let (batch, _worker) = Batch::pair(service, Limits::new(100).unwrap());
    let loader = Loader::over(batch);
    let mut cx = Context::from_waker(Waker::noop());
    let allocated = measure(|| {
        for key in 0..10_000 {
            let mut load = loader.load(key);
            assert!(Future::poll(std::pin::Pin::new(&mut load), &mut cx).is_pending());
        }
    });
    let bytes = allocated.bytes_current;
    assert!(bytes < 10_000, "{bytes}");
}

#[test]
fn a_response_is_small() {
    type Response = mainstay_batch::future::ResponseFuture<u64, u64, ()>;
    assert_eq!(size_of::<Response>(), 40);
}

struct Echo;

impl Service<Vec<u64>> for Echo {
    type Response = Vec<Result<u64, Infallible>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, items: Vec<u64>) -> Self::Future {
        ready(Ok(items.into_iter().map(Ok).collect()))
    }
}
