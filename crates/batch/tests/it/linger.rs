//! When a batch that is not full waits for more.

use mainstay_batch::{Batch, Limits};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Service, ServiceExt};

use crate::{Bench, limits, millis, seconds, tenfold, wait};

#[tokio::test(start_paused = true)]
async fn a_caller_alone_never_waits() {
    let batch = spawned(limits(10).with_linger(seconds(60)).unwrap());
    let start = Instant::now();
    for item in 0..1_000 {
        assert_eq!(batch.clone().oneshot(item).await.unwrap(), 10 * item);
    }
    assert_eq!(start.elapsed(), millis(0));
}

#[tokio::test(start_paused = true)]
async fn few_callers_never_wait() {
    let batch = spawned(limits(10).with_linger(seconds(60)).unwrap());
    let start = Instant::now();
    let callers: Vec<_> = (0..9)
        .map(|_| {
            let batch = batch.clone();
            tokio::spawn(async move {
                for item in 0..100 {
                    batch.clone().oneshot(item).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(start.elapsed(), millis(0));
}

#[tokio::test(start_paused = true)]
async fn under_load_a_batch_waits_until_it_is_full() {
    let mut bench = loaded();
    let _responses: Vec<_> = (0..9).map(|it| bench.submit(it)).collect();
    bench.expect_nothing();
    let _last = bench.submit(9);
    assert!(bench.worker.is_woken());
    bench.expect(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn it_waits_no_longer_than_the_linger() {
    let mut bench = loaded();
    let _first = bench.submit(1);
    bench.expect_nothing();
    wait(millis(4)).await;
    let _second = bench.submit(2);
    // Only the one who fills it wakes the worker.
    assert!(!bench.worker.is_woken());
    bench.expect_nothing();
    wait(millis(1)).await;
    assert!(bench.worker.is_woken());
    bench.expect(&[1, 2]);
}

/// Six come while six of ten are out, again and again, and nobody comes while those wait.
#[tokio::test(start_paused = true)]
async fn waits_in_vain_become_rare() {
    let mut bench = Bench::new(limits(10).with_linger(millis(5)).unwrap());
    let items: Vec<_> = (0..6).collect();
    let mut waits = 0;
    let mut last: Option<(Vec<_>, crate::SendAnswers)> = None;
    for _ in 0..10_000 {
        let responses: Vec<_> = items.iter().map(|it| bench.submit(*it)).collect();
        if let Some((_responses, out)) = last {
            out.send_response(tenfold(&items));
            bench.work();
        }
        bench.work();
        let mut sent = bench.sent();
        if sent.is_none() {
            waits += 1;
            wait(millis(6)).await;
            bench.work();
            sent = bench.sent();
        }
        last = Some((responses, sent.expect("a batch").1));
        // A task that never yields is made to, by what it waits for.
        tokio::task::yield_now().await;
    }
    assert!((2..15).contains(&waits), "{waits}");
}

/// The timer of a batch that went before must not fire into the next.
#[tokio::test(start_paused = true)]
async fn each_batch_has_a_linger_of_its_own() {
    let mut bench = loaded();
    let _first = bench.submit(1);
    bench.expect_nothing();
    wait(millis(4)).await;
    let _full: Vec<_> = (2..11).map(|it| bench.submit(it)).collect();
    let items: Vec<_> = (1..11).collect();
    bench.expect(&items).send_response(tenfold(&items));
    let _next = bench.submit(11);
    bench.expect_nothing();
    wait(millis(1)).await;
    bench.expect_nothing();
    wait(millis(4)).await;
    bench.expect(&[11]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_nothing() {
    let mut bench = loaded();
    let _first = bench.submit(1);
    bench.expect_nothing();
    let handle = bench.batch.handle();
    let mut flush = tokio_test::task::spawn(handle.flush());
    assert!(flush.poll().is_pending());
    assert!(bench.worker.is_woken());
    bench.expect(&[1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_when_the_last_service_is_gone() {
    let mut bench = loaded();
    let _first = bench.submit(1);
    bench.expect_nothing();
    let other = Bench::new(limits(1));
    bench.batch = other.batch;
    assert!(bench.worker.is_woken());
    bench.expect(&[1]);
}

#[tokio::test(start_paused = true)]
async fn nor_when_it_was_flushed_since() {
    let mut bench = loaded();
    let mut service = task::spawn(bench.batch.clone());
    assert_ready_ok!(service.enter(|cx, mut it| it.poll_ready(cx)));
    let mut last = task::spawn(service.enter(|_, mut it| it.call(1)));
    let handle = bench.batch.handle();
    bench.batch = Bench::new(limits(1)).batch;
    drop(service);
    bench.work();
    assert_ready!(task::spawn(handle.flush()).poll());
    assert_pending!(last.poll());
    bench.expect(&[1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_linger_nothing_waits() {
    let mut bench = Bench::new(limits(10).with_linger(millis(0)).unwrap());
    load(&mut bench);
    let _first = bench.submit(1);
    bench.expect(&[1]);
}

/// One that has more callers than a batch has room for, who come fast.
fn loaded() -> Bench {
    let mut bench = Bench::new(limits(10).with_linger(millis(5)).unwrap());
    load(&mut bench);
    bench
}

/// Batches of six of ten, and six more while each of them is out.
fn load(bench: &mut Bench) {
    let items: Vec<_> = (0..6).collect();
    let mut responses = Vec::new();
    let mut out: Option<crate::SendAnswers> = None;
    for _ in 0..3 {
        responses.extend(items.iter().map(|it| bench.submit(*it)));
        if let Some(out) = out {
            out.send_response(tenfold(&items));
        }
        out = Some(bench.expect(&items));
    }
    out.expect("a batch").send_response(tenfold(&items));
    bench.work();
}

fn spawned(limits: Limits) -> Batch<u32, u32> {
    let service =
        tower::service_fn(async |it: Vec<u32>| Ok::<_, std::convert::Infallible>(tenfold(&it)));
    let (batch, worker) = Batch::pair(service, limits);
    tokio::spawn(worker);
    batch
}

#[tokio::test(start_paused = true)]
async fn what_is_left_over_by_full_batches_waits_for_nobody() {
    let mut bench = loaded();
    let _many: Vec<_> = (0..33).map(|it| bench.submit(it)).collect();
    for tens in 0..3 {
        let items: Vec<_> = (10 * tens..10 * tens + 10).collect();
        bench.expect(&items).send_response(tenfold(&items));
    }
    bench.expect(&[30, 31, 32]);
}

/// Callers of whom each has one item at a time, with room for ten in a batch: in the end few are left.
#[tokio::test(start_paused = true)]
async fn the_last_of_many_callers_never_wait() {
    let batch = spawned(limits(10).with_linger(seconds(60)).unwrap());
    let start = Instant::now();
    let callers: Vec<_> = (0..25)
        .map(|caller| {
            let batch = batch.clone();
            tokio::spawn(async move {
                for item in 0..10 * caller {
                    batch.clone().oneshot(item).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(start.elapsed(), millis(0));
}
