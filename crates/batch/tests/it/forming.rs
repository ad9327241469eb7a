//! Which items share a batch.

use std::sync::{Arc, Mutex};

use mainstay_batch::{Batch, BatchLayer, Limits, TooHeavy};
use tokio_test::{assert_pending, task};
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::{Bench, answer, limits, tenfold};

#[tokio::test(start_paused = true)]
async fn one_item_alone_is_sent_at_once() {
    let mut bench = Bench::new(limits(10));
    bench.work();
    let mut response = bench.submit(1);
    assert!(bench.worker.is_woken());
    bench.expect(&[1]).send_response(tenfold(&[1]));
    bench.work();
    assert!(response.is_woken());
    assert_eq!(answer(&mut response), 10);
}

#[tokio::test(start_paused = true)]
async fn items_gather_while_a_batch_is_out() {
    let mut bench = Bench::new(limits(10));
    let mut first = bench.submit(1);
    let out = bench.expect(&[1]);
    let mut others: Vec<_> = (2..5).map(|it| bench.submit(it)).collect();
    bench.expect_nothing();
    out.send_response(tenfold(&[1]));
    let out = bench.expect(&[2, 3, 4]);
    assert_eq!(answer(&mut first), 10);
    out.send_response(tenfold(&[2, 3, 4]));
    bench.work();
    let answers: Vec<_> = others.iter_mut().map(answer).collect();
    assert_eq!(answers, [20, 30, 40]);
}

#[tokio::test(start_paused = true)]
async fn no_batch_has_more_items_than_the_limit() {
    let mut bench = Bench::new(limits(3));
    let mut responses: Vec<_> = (0..8).map(|it| bench.submit(it)).collect();
    for items in [&[0, 1, 2][..], &[3, 4, 5], &[6, 7]] {
        bench.expect(items).send_response(tenfold(items));
    }
    bench.work();
    let answers: Vec<_> = responses.iter_mut().map(answer).collect();
    assert_eq!(answers, [0, 10, 20, 30, 40, 50, 60, 70]);
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_out_than_the_limit() {
    let mut bench = Bench::new(limits(2).with_batches(3).unwrap());
    let responses: Vec<_> = (0..10).map(|it| bench.submit(it)).collect();
    bench.work();
    let mut out: Vec<_> = std::iter::from_fn(|| bench.sent()).collect();
    assert_eq!(out.len(), 3);
    // They need not end in their order.
    let (items, last) = out.pop().unwrap();
    last.send_response(tenfold(&items));
    let _third = bench.expect(&[6, 7]);
    bench.expect_nothing();
    drop(responses);
}

#[tokio::test(start_paused = true)]
async fn batches_are_collected_while_others_are_out() {
    let mut bench = Bench::new(limits(2).with_batches(2).unwrap());
    let _first = bench.submit(1);
    let _out = bench.expect(&[1]);
    let mut second = bench.submit(2);
    bench.expect(&[2]).send_response(tenfold(&[2]));
    bench.work();
    assert_eq!(answer(&mut second), 20);
}

#[tokio::test(start_paused = true)]
async fn no_batch_is_heavier_than_the_limit() {
    let (sent, service) = recorded();
    let limits = limits(10).with_weight(10).unwrap();
    let layer = BatchLayer::new(limits).with_weigh(|it: &u32| u64::from(*it));
    let batch = layer.layer(service);
    let calls = [4, 6, 1, 8, 2, 10].map(|it| tokio::spawn(batch.clone().oneshot(it)));
    for call in calls {
        call.await.unwrap().unwrap();
    }
    for batch in &*sent.lock().unwrap() {
        assert!(batch.iter().sum::<u32>() <= 10, "{batch:?}");
    }

    let error = batch.oneshot(11).await.unwrap_err();
    let heavy = error.downcast_ref::<TooHeavy>().expect("a refusal");
    assert_eq!((heavy.weight(), heavy.limit()), (11, 10));
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_gives_its_place_back() {
    let limits = limits(1).with_weight(10).unwrap().with_waiting(1).unwrap();
    let (_, service) = recorded();
    let layer = BatchLayer::new(limits).with_weigh(|it: &u32| u64::from(*it));
    let batch = layer.layer(service);
    for _ in 0..3 {
        let error = batch.clone().oneshot(11).await.unwrap_err();
        assert!(error.is::<TooHeavy>());
    }
    assert_eq!(batch.oneshot(10).await.unwrap(), 100);
}

#[tokio::test(start_paused = true)]
async fn items_of_different_lanes_never_share_a_batch() {
    let (sent, service) = recorded();
    let limits = Limits::new(10).unwrap();
    let layer = BatchLayer::new(limits).with_lanes(|it: &u32| it % 3);
    let batch = layer.layer(service);
    let calls: Vec<_> = (0..90)
        .map(|it| tokio::spawn(batch.clone().oneshot(it)))
        .collect();
    for (item, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), item * 10);
    }
    let sent = sent.lock().unwrap();
    assert!(sent.iter().all(|it| it.iter().all(|x| x % 3 == it[0] % 3)));
    // And those of one lane do.
    assert_eq!(sent.len(), 9, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fills_batches_keeps_no_other_waiting() {
    let (sent, service) = recorded();
    let limits = Limits::new(2).unwrap().with_waiting(1_000).unwrap();
    let layer = BatchLayer::new(limits).with_lanes(|it: &u32| *it == 7);
    let batch = layer.layer(service);
    let busy: Vec<_> = (100..200)
        .map(|it| tokio::spawn(batch.clone().oneshot(it)))
        .collect();
    let alone = tokio::spawn(batch.clone().oneshot(7));
    let more: Vec<_> = (200..300)
        .map(|it| tokio::spawn(batch.clone().oneshot(it)))
        .collect();
    alone.await.unwrap().unwrap();
    for call in busy.into_iter().chain(more) {
        call.await.unwrap().unwrap();
    }
    assert_eq!(sent.lock().unwrap().concat().len(), 201);
}

#[tokio::test(start_paused = true)]
async fn no_lane_has_more_batches_out_than_its_limit() {
    let (inner, mut calls) = tower_test::mock::pair::<Vec<u32>, crate::Answers>();
    calls.allow(100);
    let limits = limits(2).with_batches(3).unwrap();
    let limits = limits.with_batches_per_lane(1).unwrap();
    let layer = BatchLayer::new(limits).with_lanes(|it: &u32| it / 10);
    let batch = layer.layer(inner);
    let submit = |it| tokio::spawn(batch.clone().oneshot(it));
    let _calls: Vec<_> = [1, 2, 3, 4, 5, 11].map(submit).into();

    let (items, first) = calls.next_request().await.unwrap();
    assert_eq!(items, [1, 2]);
    // What waits for its lane lets others by, and gathers more.
    let (items, other) = calls.next_request().await.unwrap();
    assert_eq!(items, [11]);
    let _more = submit(6);
    crate::wait(crate::millis(10)).await;
    tokio::task::yield_now().await;
    assert!(task::spawn(calls.next_request()).poll().is_pending());

    // Another lane that ends changes nothing.
    other.send_response(tenfold(&[11]));
    tokio::task::yield_now().await;
    assert!(task::spawn(calls.next_request()).poll().is_pending());
    let flush = tokio::spawn({
        let handle = batch.handle();
        async move { handle.flush().await }
    });
    first.send_response(tenfold(&[1, 2]));
    let (items, next) = calls.next_request().await.unwrap();
    assert_eq!(items, [3, 4]);
    next.send_response(tenfold(&[3, 4]));
    let (items, last) = calls.next_request().await.unwrap();
    assert_eq!(items, [5, 6]);
    last.send_response(tenfold(&[5, 6]));
    flush.await.unwrap();
}

/// The turn of one that goes before its batch is sent is that of the next.
#[tokio::test(start_paused = true)]
async fn a_lane_does_not_wait_for_one_who_has_gone() {
    let limits = limits(1).with_batches(2).unwrap();
    let mut bench = Bench::new(limits.with_batches_per_lane(1).unwrap());
    let _first = bench.submit(1);
    let out = bench.expect(&[1]);
    let [goes, _stays] = [2, 3].map(|it| bench.submit(it));
    bench.expect_nothing();
    bench.calls.allow(0);
    out.send_response(tenfold(&[1]));
    // The service is not ready now.
    bench.expect_nothing();
    drop(goes);
    bench.calls.allow(1);
    bench.expect(&[3]);
}

#[tokio::test(start_paused = true)]
async fn those_who_can_run_have_their_turn_before_a_batch_is_sent() {
    let mut bench = Bench::new(limits(3));
    let _first = bench.submit(1);
    assert_pending!(bench.worker.poll());
    assert!(bench.sent().is_none());
    assert!(bench.worker.is_woken(), "it waits for their turn only");
    let _second = bench.submit(2);
    assert_pending!(bench.worker.poll());
    let (sent, answer) = bench.sent().expect("a batch");
    assert_eq!(sent, [1, 2]);
    answer.send_response(tenfold(&sent));

    // A full one waits for nobody.
    let _others = [3, 4, 5].map(|it| bench.submit(it));
    assert_pending!(bench.worker.poll());
    assert_eq!(bench.sent().expect("a batch").0, [3, 4, 5]);
}

/// Who was answered comes back, and stands in line behind those who wait.
#[tokio::test(start_paused = true)]
async fn those_who_were_answered_have_their_turn_before_more_are() {
    let (sent, service) = recorded();
    let (batch, worker) = Batch::pair(service, limits(100));
    let mut worker = task::spawn(worker);
    let mut calls: Vec<_> = (0..300)
        .map(|it| task::spawn(batch.clone().oneshot(it)))
        .collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    for batches in 1..=3 {
        assert_pending!(worker.poll());
        assert_eq!(sent.lock().unwrap().len(), batches);
        assert!(worker.is_woken());
    }
}

/// The runtime runs the one first that was woken last: a caller and the worker could wake each other
/// again and again, while the others wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_of_one_thread_share_their_batches() {
    let (sent, service) = recorded();
    let batch = BatchLayer::new(Limits::new(100).unwrap()).layer(service);
    // By the one thread itself, so that all are there before the first runs.
    let all = tokio::spawn(async move {
        let callers = (0..200).map(|_| {
            let mut batch = batch.clone();
            tokio::spawn(async move {
                for item in 0..100 {
                    batch.ready().await.unwrap().call(item).await.unwrap();
                }
            })
        });
        callers.collect::<Vec<_>>()
    });
    for caller in all.await.unwrap() {
        caller.await.unwrap();
    }
    let batches = sent.lock().unwrap().len();
    assert!(batches <= 400, "{batches} of 20,000 items");
}

type Log = Arc<Mutex<Vec<Vec<u32>>>>;

/// A service that is answered at once, and what it was sent.
fn recorded() -> (
    Log,
    impl tower::Service<Vec<u32>, Response = Vec<Result<u32, BoxError>>, Error = BoxError, Future: Send>
    + Send
    + 'static,
) {
    let log = Log::default();
    let sent = Arc::clone(&log);
    let service = tower::service_fn(move |items: Vec<u32>| {
        let answers = tenfold(&items);
        sent.lock().unwrap().push(items);
        std::future::ready(Ok(answers))
    });
    (log, service)
}
