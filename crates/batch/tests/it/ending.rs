//! Flush, shutdown, and the last handle.

use mainstay_batch::{Batch, BatchLayer, Closed};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower::{Layer, Service, ServiceExt};

use crate::{Bench, answer, error, limits, millis, seconds, tenfold, wait};

/// **Every item that was accepted is answered exactly once.**
#[tokio::test(start_paused = true)]
async fn every_accepted_item_is_answered_when_the_last_handle_goes() {
    let mut bench = Bench::new(limits(2));
    let mut responses: Vec<_> = (0..5).map(|it| bench.submit(it)).collect();
    let (other, _) = tower_test::mock::pair();
    drop(std::mem::replace(
        &mut bench.batch,
        Batch::pair::<crate::Inner, _>(other, limits(1)).0,
    ));
    for items in [&[0, 1][..], &[2, 3], &[4]] {
        bench.expect(items).send_response(tenfold(items));
    }
    bench.work();
    let answers: Vec<_> = responses.iter_mut().map(answer).collect();
    assert_eq!(answers, [0, 10, 20, 30, 40]);
    // The futures are the last who could have asked for something.
    drop(responses);
    assert!(bench.worker.is_woken());
    assert_ready!(bench.worker.poll());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_made_is_answered_though_the_last_handle_is_gone() {
    let service =
        tower::service_fn(async |it: Vec<u32>| Ok::<_, std::convert::Infallible>(tenfold(&it)));
    let (mut batch, worker) = Batch::pair(service, limits(2));
    let worker = tokio::spawn(worker);
    batch.ready().await.unwrap();
    let call = batch.call(1);
    drop(batch);
    tokio::task::yield_now().await;
    assert_eq!(call.await.unwrap(), 10);
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_when_all_before_it_is_answered() {
    let mut bench = Bench::new(limits(10));
    let handle = bench.batch.handle();
    let mut first = bench.submit(1);
    let out = bench.expect(&[1]);
    let mut second = bench.submit(2);
    let mut flush = task::spawn(handle.flush());
    assert_pending!(flush.poll());
    // This one comes after it: it does not join what is flushed.
    let mut third = bench.submit(3);
    out.send_response(tenfold(&[1]));
    let out = bench.expect(&[2]);
    assert_eq!(answer(&mut first), 10);
    assert_pending!(flush.poll());
    out.send_response(tenfold(&[2]));
    let out = bench.expect(&[3]);
    assert!(flush.is_woken());
    assert_ready!(flush.poll());
    assert_eq!(answer(&mut second), 20);
    out.send_response(tenfold(&[3]));
    bench.work();
    assert_eq!(answer(&mut third), 30);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_nothing_ends_at_once() {
    let mut bench = Bench::new(limits(10));
    bench.work();
    let handle = bench.batch.handle();
    assert_ready!(task::spawn(handle.flush()).poll());
    let goes = bench.submit(1);
    let mut flush = task::spawn(handle.flush());
    assert_pending!(flush.poll());
    drop(goes);
    assert!(flush.is_woken());
    assert_ready!(flush.poll());
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_leaves_no_waker_behind() {
    struct Count;
    impl std::task::Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let mut bench = Bench::new(limits(10));
    let _first = bench.submit(1);
    let _out = bench.expect(&[1]);
    let handle = bench.batch.handle();
    let waker = std::sync::Arc::new(Count);
    for _ in 0..3 {
        let mut flush = Box::pin(handle.flush());
        let waker = std::task::Waker::from(std::sync::Arc::clone(&waker));
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(flush.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(std::sync::Arc::strong_count(&waker), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_all_and_refuses_the_rest() {
    let mut bench = Bench::new(limits(2).with_waiting(3).unwrap());
    let mut responses: Vec<_> = (0..3).map(|it| bench.submit(it)).collect();
    let mut in_line = task::spawn(bench.batch.clone());
    assert_pending!(in_line.enter(|cx, mut it| it.poll_ready(cx)));
    let handle = bench.batch.handle();
    let mut shutdown = task::spawn(handle.shutdown(seconds(1)));
    assert_pending!(shutdown.poll());
    assert!(handle.snapshot().is_closed);

    assert!(in_line.is_woken());
    let refusal = assert_ready_err!(in_line.enter(|cx, mut it| it.poll_ready(cx)));
    assert!(refusal.is::<Closed>());

    bench.expect(&[0, 1]).send_response(tenfold(&[0, 1]));
    let out = bench.expect(&[2]);
    assert_pending!(shutdown.poll());
    out.send_response(tenfold(&[2]));
    assert_ready!(bench.worker.poll());
    assert!(shutdown.is_woken());
    assert_eq!(assert_ready!(shutdown.poll()), Ok(()));
    let answers: Vec<_> = responses.iter_mut().map(answer).collect();
    assert_eq!(answers, [0, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_out_of_time_answers_the_rest_that_it_is_closed() {
    let mut bench = Bench::new(limits(2));
    let mut responses: Vec<_> = (0..3).map(|it| bench.submit(it)).collect();
    let _out = bench.expect(&[0, 1]);
    let handle = bench.batch.handle();
    let mut shutdown = task::spawn(handle.shutdown(seconds(1)));
    assert_pending!(shutdown.poll());
    wait(millis(999)).await;
    assert_pending!(shutdown.poll());
    wait(millis(2)).await;
    assert_pending!(shutdown.poll());
    assert!(bench.worker.is_woken());
    assert_ready!(bench.worker.poll());
    let abandoned = assert_ready_err!(shutdown.poll());
    assert_eq!(abandoned.items(), 3);
    for response in &mut responses {
        assert!(error(response).is::<Closed>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_ready_before_the_shutdown_is_refused() {
    let mut bench = Bench::new(limits(2));
    let mut service = bench.batch.clone();
    service.ready().await.unwrap();
    bench.batch.handle().close();
    let mut call = task::spawn(service.call(1));
    assert!(error(&mut call).is::<Closed>());
    assert_ready!(bench.worker.poll());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_dropped_answers_all() {
    let mut bench = Bench::new(limits(2));
    let mut responses: Vec<_> = (0..3).map(|it| bench.submit(it)).collect();
    let _out = bench.expect(&[0, 1]);
    let handle = bench.batch.handle();
    let mut flush = task::spawn(handle.flush());
    assert_pending!(flush.poll());
    drop(bench.worker);
    assert_ready!(flush.poll());
    for response in &mut responses {
        assert!(response.is_woken());
        assert!(error(response).is::<Closed>());
    }
    let refusal = bench.batch.oneshot(1).await.unwrap_err();
    assert!(refusal.is::<Closed>());
}

#[tokio::test(start_paused = true)]
async fn a_handle_does_not_keep_the_worker() {
    let mut bench = Bench::new(limits(2));
    bench.work();
    let handle = bench.batch.handle();
    let Bench {
        batch, mut worker, ..
    } = bench;
    drop(batch);
    assert!(worker.is_woken());
    assert_ready!(worker.poll());
    handle.flush().await;
    assert_eq!(handle.shutdown(seconds(1)).await, Ok(()));
}

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_without_an_answer() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let (theirs, ours) = (runtime(), runtime());
    let batch = theirs.block_on(async {
        let never = |_: Vec<u32>| std::future::pending::<Result<crate::Answers, tower::BoxError>>();
        BatchLayer::new(limits(2)).layer(tower::service_fn(never))
    });
    ours.block_on(async {
        let calls: Vec<_> = (0..5)
            .map(|it| tokio::spawn(batch.clone().oneshot(it)))
            .collect();
        while batch.handle().snapshot().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        theirs.shutdown_background();
        for call in calls {
            assert!(call.await.unwrap().unwrap_err().is::<Closed>());
        }
        assert!(batch.oneshot(1).await.unwrap_err().is::<Closed>());
    });
}

#[test]
fn items_of_a_runtime_that_has_gone_say_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let at_once = mainstay_batch::Concurrency::new(2).unwrap();
    let map = mainstay_batch::map_concurrent(0..3, at_once, |_| {
        std::future::pending::<Result<(), std::convert::Infallible>>()
    });
    let mut map = task::spawn(map.spawned());
    runtime.block_on(async { assert_pending!(map.poll_next()) });
    drop(runtime);
    let mut panicked = 0;
    while let std::task::Poll::Ready(Some(result)) = map.poll_next() {
        assert!(matches!(
            result,
            Err(mainstay_batch::ItemError::Panicked(_))
        ));
        panicked += 1;
    }
    assert_eq!(panicked, 3);
}
