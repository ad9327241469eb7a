//! What a user of the crate sees.

mod cancelled;
mod contract;
mod ending;
mod events;
mod failing;
mod forming;
mod linger;
mod loader;
mod map;
mod property;
mod stages;
mod values;
mod waiting;

use std::time::Duration;

use mainstay_batch::{Batch, BoxError, Limits, Worker, future::ResponseFuture};
use tokio_test::{
    assert_pending, assert_ready, assert_ready_ok,
    task::{self, Spawn},
};
use tower::Service;
use tower_test::mock::{self, Mock};

type Answers = Vec<Result<u32, BoxError>>;

type Inner = Mock<Vec<u32>, Answers>;

type SendAnswers = mock::SendResponse<Answers>;

type Calls = mock::Handle<Vec<u32>, Answers>;

/// A batcher whose worker is polled by hand, over a mocked service.
struct Bench {
    batch: Batch<u32, u32>,
    worker: Spawn<Worker<Inner, u32, u32, ()>>,
    calls: Calls,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let (inner, mut calls) = mock::pair();
        calls.allow(100_000);
        let (batch, worker) = Batch::pair(inner, limits);
        Self {
            batch,
            worker: task::spawn(worker),
            calls,
        }
    }

    /// Submits an item.
    #[track_caller]
    fn submit(&self, item: u32) -> Spawn<ResponseFuture<u32, u32, ()>> {
        let mut service = task::spawn(self.batch.clone());
        assert_ready_ok!(service.enter(|cx, mut it| it.poll_ready(cx)));
        let mut response = task::spawn(service.enter(|_, mut it| it.call(item)));
        assert_pending!(response.poll());
        response
    }

    /// Polls the worker until it waits for others.
    #[track_caller]
    fn work(&mut self) {
        assert_pending!(self.worker.poll());
        while self.worker.is_woken() {
            assert_pending!(self.worker.poll());
        }
    }

    /// The batch that was sent, if one was.
    fn sent(&mut self) -> Option<(Vec<u32>, SendAnswers)> {
        match task::spawn(self.calls.next_request()).poll() {
            std::task::Poll::Ready(request) => request,
            std::task::Poll::Pending => None,
        }
    }

    /// Expects a batch to have been sent.
    #[track_caller]
    fn expect(&mut self, items: &[u32]) -> SendAnswers {
        self.work();
        let (sent, answer) = self.sent().expect("a batch was sent");
        assert_eq!(sent, items);
        answer
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        self.work();
        let sent = self.sent().map(|it| it.0);
        assert_eq!(sent, None);
    }
}

/// Answers each item with itself, times ten.
fn tenfold(items: &[u32]) -> Answers {
    items.iter().map(|it| Ok(it * 10)).collect()
}

#[track_caller]
fn answer<F: Future<Output = Result<u32, BoxError>>>(response: &mut Spawn<F>) -> u32 {
    assert_ready!(response.poll()).expect("an answer")
}

#[track_caller]
fn error<T: std::fmt::Debug, F: Future<Output = Result<T, BoxError>>>(
    response: &mut Spawn<F>,
) -> BoxError {
    assert_ready!(response.poll()).expect_err("an error")
}

/// Without a linger.
fn limits(items: usize) -> Limits {
    Limits::new(items).unwrap().with_linger(millis(0)).unwrap()
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn wait(time: Duration) {
    tokio::time::advance(time).await;
}
