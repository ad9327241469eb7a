//! What fails, and for whom.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use mainstay_batch::{BatchFailed, BatchLayer, BoxError, Panicked, WrongLength};
use tower::{Layer, Service, ServiceExt};

use crate::{Bench, answer, error, limits, tenfold};

#[tokio::test(start_paused = true)]
async fn a_failed_batch_fails_its_own_items_only() {
    let mut bench = Bench::new(limits(2));
    let mut bad = [1, 2].map(|it| bench.submit(it));
    let mut good = [3, 4].map(|it| bench.submit(it));
    bench.expect(&[1, 2]).send_error("no");
    bench.expect(&[3, 4]).send_response(tenfold(&[3, 4]));
    bench.work();
    for response in &mut bad {
        let error = error(response);
        let failed = error.downcast_ref::<BatchFailed>().expect("it failed");
        assert_eq!(failed.cause().to_string(), "no");
        assert_eq!(error.source().unwrap().to_string(), "no");
    }
    assert_eq!(good.each_mut().map(answer), [30, 40]);

    // The worker lives on.
    let mut later = bench.submit(5);
    bench.expect(&[5]).send_response(tenfold(&[5]));
    bench.work();
    assert_eq!(answer(&mut later), 50);
}

#[tokio::test(start_paused = true)]
async fn a_failed_item_fails_alone() {
    let mut bench = Bench::new(limits(3));
    let mut responses = [1, 2, 3].map(|it| bench.submit(it));
    let answers = vec![Ok(10), Err("no".into()), Ok(30)];
    bench.expect(&[1, 2, 3]).send_response(answers);
    bench.work();
    let [one, two, three] = &mut responses;
    assert_eq!(answer(one), 10);
    assert_eq!(error(two).to_string(), "no");
    assert_eq!(answer(three), 30);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_number_of_answers_fails_the_batch() {
    for count in [0, 1, 3] {
        let mut bench = Bench::new(limits(2));
        let mut responses = [1, 2].map(|it| bench.submit(it));
        let out = bench.expect(&[1, 2]);
        out.send_response((0..count).map(Ok).collect());
        bench.work();
        for response in &mut responses {
            let error = error(response);
            let failed = error.downcast_ref::<BatchFailed>().expect("it failed");
            let wrong = failed.cause().downcast_ref::<WrongLength>();
            let wrong = wrong.expect("it has another length");
            assert_eq!((wrong.items(), wrong.answers()), (2, count as usize));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_batch_fails_its_own_items_only() {
    for place in [Place::PollReady, Place::Call, Place::Future] {
        let batch = BatchLayer::new(limits(10)).layer(PanicsAt(place));
        let error = batch.clone().oneshot(13).await.unwrap_err();
        let failed = error.downcast_ref::<BatchFailed>().expect("it failed");
        let panicked = failed.cause().downcast_ref::<Panicked>();
        assert_eq!(panicked.unwrap().message(), Some("unlucky"));
        if place != Place::PollReady {
            assert_eq!(batch.oneshot(1).await.unwrap(), 10);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_as_it_is_converted_fails_its_batch_only() {
    struct Bad;
    impl From<Bad> for BoxError {
        fn from(_: Bad) -> Self {
            panic!("unlucky")
        }
    }
    let service = tower::service_fn(async |items: Vec<u32>| {
        let answer = |it| if it == 13 { Err(Bad) } else { Ok(it) };
        Ok::<Vec<_>, Infallible>(items.into_iter().map(answer).collect())
    });
    let batch = BatchLayer::new(limits(10)).layer(service);
    let error = batch.clone().oneshot(13).await.unwrap_err();
    assert!(error.is::<BatchFailed>());
    assert_eq!(batch.oneshot(1).await.unwrap(), 1);
}

/// Its caller goes while the batch is answered, so that the worker is the one who drops it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_panics_as_it_is_dropped_does_not_end_the_worker() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "unlucky");
        }
    }
    type Call = mainstay_batch::future::ResponseFuture<u32, Bomb, ()>;
    let call: Arc<Mutex<Option<Call>>> = Arc::default();
    let caller = Arc::clone(&call);
    let service = tower::service_fn(move |items: Vec<u32>| {
        drop(caller.lock().unwrap().take());
        let bombs = items.iter().map(|it| Ok(Bomb(*it == 13)));
        ready(Ok::<Vec<_>, Infallible>(
            bombs.collect::<Vec<Result<_, Infallible>>>(),
        ))
    });
    let mut batch = BatchLayer::new(limits(1)).layer(service);
    batch.ready().await.unwrap();
    let mut unlucky = batch.call(13);
    assert!(futures_util::poll!(&mut unlucky).is_pending());
    *call.lock().unwrap() = Some(unlucky);
    tokio::task::yield_now().await;
    assert!(call.lock().unwrap().is_none());
    assert!(batch.oneshot(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_broken_fails_all_that_wait_and_all_to_come() {
    let mut bench = Bench::new(limits(1));
    bench.calls.allow(0);
    let mut responses = [1, 2, 3].map(|it| bench.submit(it));
    bench.expect_nothing();
    bench.calls.send_error("gone");
    assert!(bench.worker.poll().is_ready());
    for response in &mut responses {
        let error = error(response);
        let failed = error.downcast_ref::<BatchFailed>().expect("it failed");
        assert_eq!(failed.cause().to_string(), "gone");
    }
    let error = bench.batch.clone().oneshot(4).await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "gone");
}

#[tokio::test(start_paused = true)]
async fn what_is_out_when_the_service_breaks_is_answered() {
    let mut bench = Bench::new(limits(1).with_batches(2).unwrap());
    let mut first = bench.submit(1);
    let out = bench.expect(&[1]);
    bench.calls.allow(0);
    let mut second = bench.submit(2);
    bench.expect_nothing();
    bench.calls.send_error("gone");
    bench.work();
    assert_eq!(error(&mut second).source().unwrap().to_string(), "gone");
    out.send_response(tenfold(&[1]));
    assert!(bench.worker.poll().is_ready());
    assert_eq!(answer(&mut first), 10);
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    PollReady,
    Call,
    Future,
}

/// Panics when it is given a 13.
struct PanicsAt(Place);

impl Service<Vec<u32>> for PanicsAt {
    type Response = Vec<Result<u32, Infallible>>;
    type Error = Infallible;
    type Future = futures_util::future::Either<
        Ready<Result<Self::Response, Infallible>>,
        futures_util::future::BoxFuture<'static, Result<Self::Response, Infallible>>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        assert!(self.0 != Place::PollReady, "unlucky");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, items: Vec<u32>) -> Self::Future {
        if items.contains(&13) {
            assert!(self.0 == Place::Future, "unlucky");
            return futures_util::future::Either::Right(Box::pin(async { panic!("unlucky") }));
        }
        let answers = items.iter().map(|it| Ok(it * 10)).collect();
        futures_util::future::Either::Left(ready(Ok(answers)))
    }
}
