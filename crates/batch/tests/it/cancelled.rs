//! Callers that go before their answer is there.

use std::{
    cell::RefCell,
    convert::Infallible,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mainstay_batch::{Batch, BoxError};
use tokio_test::{assert_pending, task};
use tower::{Service, ServiceExt};

use crate::{Bench, answer, limits, tenfold};

#[tokio::test(start_paused = true)]
async fn a_dropped_item_leaves_before_its_batch_is_sent() {
    let mut bench = Bench::new(limits(10));
    let mut stays = [0, 2].map(|it| bench.submit(it));
    let goes = bench.submit(1);
    drop(goes);
    bench.expect(&[0, 2]).send_response(tenfold(&[0, 2]));
    bench.work();
    assert_eq!(stays.each_mut().map(answer), [0, 20]);
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_callers_across_the_gaps() {
    let mut bench = Bench::new(limits(6));
    let mut responses: Vec<_> = (0..6).map(|it| Some(bench.submit(it))).collect();
    // The batch is full: nobody takes their seats.
    for gone in [0, 2, 3] {
        responses[gone] = None;
    }
    bench.expect(&[1, 4, 5]).send_response(tenfold(&[1, 4, 5]));
    bench.work();
    let answers: Vec<_> = responses.iter_mut().flatten().map(answer).collect();
    assert_eq!(answers, [10, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn the_seat_of_one_who_went_is_given_to_the_next() {
    let mut bench = Bench::new(limits(3));
    let goes = bench.submit(1);
    let mut second = bench.submit(2);
    drop(goes);
    let mut third = bench.submit(3);
    bench.expect(&[3, 2]).send_response(tenfold(&[3, 2]));
    bench.work();
    assert_eq!(answer(&mut second), 20);
    assert_eq!(answer(&mut third), 30);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_all_have_left_is_not_sent() {
    let mut bench = Bench::new(limits(2));
    let responses: Vec<_> = (0..5).map(|it| bench.submit(it)).collect();
    drop(responses);
    bench.expect_nothing();
    assert_eq!(bench.batch.handle().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_on_for_those_who_stay() {
    let mut bench = Bench::new(limits(2));
    let goes = bench.submit(1);
    let mut stays = bench.submit(2);
    let out = bench.expect(&[1, 2]);
    drop(goes);
    bench.expect_nothing();
    out.send_response(tenfold(&[1, 2]));
    bench.work();
    assert_eq!(answer(&mut stays), 20);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_all_have_left_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    let service = tower::service_fn(move |_: Vec<u32>| {
        let guard = CountsDrop(Arc::clone(&counter));
        async move {
            let _guard = guard;
            std::future::pending::<Result<Vec<Result<u32, Infallible>>, Infallible>>().await
        }
    });
    let (batch, worker) = Batch::pair(service, limits(2));
    let mut worker = task::spawn(worker);
    let mut calls: Vec<_> = (0..4)
        .map(|it| task::spawn(batch.clone().oneshot(it)))
        .collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    assert_pending!(worker.poll());
    for left in (0..4).rev() {
        drop(calls.remove(0));
        assert_pending!(worker.poll());
        // The room is used for the second batch once both callers of the first are gone.
        assert_eq!(dropped.load(Ordering::SeqCst), (4 - left) / 2);
    }
    assert_eq!(batch.handle().snapshot().in_flight, 0);
}

/// The answer comes to the task that polled it last.
#[tokio::test(start_paused = true)]
async fn the_last_waker_is_woken() {
    for is_sent in [false, true] {
        let mut bench = Bench::new(limits(1));
        let response = bench.submit(1);
        let mut out = is_sent.then(|| bench.expect(&[1]));
        let mut response = task::spawn(response.into_inner());
        assert_pending!(response.poll());
        let out = out.take().unwrap_or_else(|| bench.expect(&[1]));
        out.send_response(tenfold(&[1]));
        bench.work();
        assert!(response.is_woken());
        assert_eq!(answer(&mut response), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_dropped_after_every_number_of_polls_leaves_the_others_theirs() {
    for dropped in 0..4 {
        for polls in 0..6 {
            let log = Rc::new(RefCell::new(Vec::new()));
            let seen = Rc::clone(&log);
            let service = tower::service_fn(move |items: Vec<u32>| {
                seen.borrow_mut().extend(items.iter().copied());
                async move {
                    tokio::task::yield_now().await;
                    Ok::<_, BoxError>(tenfold(&items))
                }
            });
            let limits = limits(2).with_waiting(2).unwrap();
            let (batch, worker) = Batch::pair(service, limits);
            let local = tokio::task::LocalSet::new();
            let handle = local.spawn_local(worker);
            let calls: Vec<_> = (0..4_u32)
                .map(|it| {
                    let call = batch.clone().oneshot(it);
                    local.spawn_local(async move {
                        if it == dropped {
                            give_up(call, polls).await.transpose().map(|_| 0)
                        } else {
                            call.await.map(Some).map(|it| it.unwrap())
                        }
                    })
                })
                .collect();
            drop(batch);
            local
                .run_until(async {
                    for (item, call) in (0..).zip(calls) {
                        let answer = call.await.unwrap().unwrap();
                        assert!(item == dropped || answer == 10 * item);
                    }
                    handle.await.unwrap();
                })
                .await;
            let log = log.borrow();
            for item in 0..4 {
                let times = log.iter().filter(|it| **it == item).count();
                assert!(times == 1 || times == 0 && item == dropped, "{log:?}");
            }
        }
    }
}

/// Polls a call so many times and drops it, unless it ends before.
async fn give_up<F: Future>(call: F, polls: usize) -> Option<F::Output> {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        if let std::task::Poll::Ready(output) = futures_util::poll!(call.as_mut()) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

struct CountsDrop(Arc<AtomicUsize>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Nothing is locked when what users made is dropped.
#[tokio::test(start_paused = true)]
async fn a_request_may_call_back_when_it_is_dropped() {
    struct CallsBack(Option<Batch<Self, ()>>);

    impl Drop for CallsBack {
        fn drop(&mut self) {
            if let Some(batch) = self.0.take() {
                assert!(batch.handle().snapshot().waiting < 3);
                drop(task::spawn(batch.oneshot(Self(None))).poll());
            }
        }
    }

    let service = tower::service_fn(async |items: Vec<CallsBack>| {
        let answers = items.into_iter().map(|_| Ok::<_, Infallible>(()));
        Ok::<_, Infallible>(answers.collect::<Vec<_>>())
    });
    let (mut batch, worker) = Batch::pair(service, limits(2));
    let mut calls = Vec::new();
    for _ in 0..3 {
        batch.ready().await.unwrap();
        let mut call = task::spawn(batch.call(CallsBack(Some(batch.clone()))));
        assert_pending!(call.poll());
        calls.push(call);
    }
    // Withdrawn, then refused after the end, and dropped with the worker.
    drop(calls.remove(0));
    drop(worker);
    batch.ready().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn the_weight_of_one_who_went_is_that_of_the_next() {
    let mut bench = Bench::new(limits(10).with_weight(3).unwrap());
    let goes = bench.submit(1);
    let _second = bench.submit(2);
    drop(goes);
    let _others = [3, 4].map(|it| bench.submit(it));
    bench.expect(&[3, 2, 4]);
}
