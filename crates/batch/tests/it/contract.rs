use std::{convert::Infallible, time::Duration};

use mainstay_batch::{
    Batch, BatchLayer, Closed, Handle, Limits, LoadFailed, Loader, Map, Panicked, Progress,
    map_concurrent,
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::{Bench, answer, limits, tenfold};

#[test]
fn is_send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>(_: &T) {}
    both::<Batch<u32, u32>>();
    both::<BatchLayer<u32>>();
    both::<Handle>();
    both::<Loader<u32, String>>();
    both::<LoadFailed>();
    both::<Panicked>();
    both::<Progress>();
    both::<mainstay_batch::future::ResponseFuture<u32, u32, ()>>();
    both::<mainstay_batch::future::Load<u32, u32>>();
    send(&map(std::iter::empty()));
    fn map(items: std::iter::Empty<u32>) -> impl Send {
        let eight = mainstay_batch::Concurrency::new(8).unwrap();
        let map: Map<_, _, _, _> = map_concurrent(items, eight, async |it| Ok::<_, Infallible>(it));
        map.collect()
    }
}

/// Ready while there is a place among those that wait; broken when the inner service is.
#[tokio::test(start_paused = true)]
async fn forwards_readiness() {
    let mut bench = Bench::new(limits(1).with_waiting(1).unwrap());
    bench.calls.allow(0);
    let mut first = bench.submit(1);
    let mut service = task::spawn(bench.batch.clone());
    let mut poll_ready = move || service.enter(|cx, mut it| it.poll_ready(cx));
    assert_pending!(poll_ready());
    // The inner service is not ready, and so the item stays.
    bench.expect_nothing();
    assert_pending!(poll_ready());

    bench.calls.allow(1);
    bench.expect(&[1]).send_response(tenfold(&[1]));
    assert_ready_ok!(poll_ready());
    bench.work();
    assert_eq!(answer(&mut first), 10);

    bench.calls.send_error("gone");
    drop(poll_ready);
    let _second = bench.submit(2);
    assert!(bench.worker.poll().is_ready());
    let mut service = task::spawn(bench.batch);
    let error = assert_ready_err!(service.enter(|cx, mut it| it.poll_ready(cx)));
    assert_eq!(error.source().unwrap().to_string(), "gone");
}

/// A mock panics if it is called before it was polled to readiness.
#[tokio::test(start_paused = true)]
async fn calls_only_what_it_readied() {
    let mut bench = Bench::new(limits(2).with_batches(3).unwrap());
    let _responses: Vec<_> = (0..6).map(|it| bench.submit(it)).collect();
    for items in [&[0, 1][..], &[2, 3], &[4, 5]] {
        bench.expect(items).send_response(tenfold(items));
    }
    // Ready once, and then the item is withdrawn: readiness is kept for the next.
    bench.calls.allow(0);
    let withdrawn = bench.submit(7);
    bench.expect_nothing();
    drop(withdrawn);
    bench.calls.allow(1);
    bench.expect_nothing();
    let _response = bench.submit(8);
    bench.expect(&[8]);
}

#[tokio::test(start_paused = true)]
#[should_panic = "poll_ready must be called first"]
async fn a_clone_is_not_ready() {
    let bench = Bench::new(limits(1));
    let mut service = task::spawn(bench.batch);
    assert_ready_ok!(service.enter(|cx, mut it| it.poll_ready(cx)));
    let mut clone = (*service).clone();
    drop(clone.call(1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    for polls in 0..3 {
        let mut bench = Bench::new(limits(1).with_waiting(1).unwrap());
        let before = bench.batch.handle().snapshot();
        let mut service = bench.batch.clone();
        service.ready().await.unwrap();
        let mut response = task::spawn(service.call(1));
        for _ in 0..polls {
            assert_pending!(response.poll());
        }
        drop(response);
        assert_eq!(bench.batch.handle().snapshot(), before);
        bench.expect_nothing();
        // The only place is free again.
        let mut other = bench.submit(2);
        bench.expect(&[2]).send_response(tenfold(&[2]));
        bench.work();
        assert_eq!(answer(&mut other), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ready_service_that_is_dropped_gives_its_place_back() {
    let bench = Bench::new(limits(1).with_waiting(1).unwrap());
    let mut ready = bench.batch.clone();
    ready.ready().await.unwrap();
    let mut next = task::spawn(bench.batch.clone());
    assert_pending!(next.enter(|cx, mut it| it.poll_ready(cx)));
    drop(ready);
    assert!(next.is_woken());
    assert_ready_ok!(next.enter(|cx, mut it| it.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn stacks_upon_itself_and_upon_other_layers() {
    let inner = ServiceBuilder::new()
        .layer(BatchLayer::<Vec<u32>>::new(limits(2)))
        .timeout(Duration::from_secs(1))
        .service_fn(async |batches: Vec<Vec<u32>>| {
            let tenfold = |batch: Vec<u32>| Ok::<_, Infallible>(tenfold(&batch));
            Ok::<_, Infallible>(batches.into_iter().map(tenfold).collect::<Vec<_>>())
        });
    let service = ServiceBuilder::new()
        .boxed_clone()
        .load_shed()
        .concurrency_limit(10)
        .layer(BatchLayer::<u32>::new(Limits::new(2).unwrap()))
        .service(inner);
    let calls = [1, 2, 3].map(|it| tokio::spawn(service.clone().oneshot(it)));
    for (item, call) in [1, 2, 3].into_iter().zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), 10 * item);
    }
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_are_batchers_of_their_own() {
    let layer = BatchLayer::<u32>::new(limits(2));
    let service = || tower::service_fn(async |it: Vec<u32>| Ok::<_, Infallible>(tenfold(&it)));
    let (one, other) = (layer.layer(service()), layer.clone().layer(service()));
    one.handle().close();
    let error = one.oneshot(1).await.unwrap_err();
    assert!(error.is::<Closed>());
    assert_eq!(other.oneshot(1).await.unwrap(), 10);
}

/// And not at the first linger, when it would take all that waits with it.
#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_time_is_refused_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let (inner, _calls) = tower_test::mock::pair::<Vec<u32>, crate::Answers>();
        let _batch = BatchLayer::new(limits(10)).layer(inner);
    });
}
