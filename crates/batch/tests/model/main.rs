//! Callers, cancellers, flushes, the end and the worker of a batcher, racing under shuttle.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/forming.rs"]
mod forming;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/load.rs"]
mod load;
#[path = "../../src/panicked.rs"]
mod panicked;
#[path = "../../src/parcel.rs"]
mod parcel;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/shared.rs"]
mod shared;
mod sync;
#[path = "../../src/turns.rs"]
mod turns;

use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use error::Closed;
use forming::{Batch, Submitted};
use limits::Limits;
use panicked::Panicked;
use parcel::Answers;
use queue::Ticket;
use shared::{Next, Shared, Watcher};
use shuttle::{future::block_on, thread};
use sync::Mutex;
use tokio::time::Instant;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Batcher = Shared<u32, u32, u32>;

const ITERATIONS: usize = 3_000;

#[test]
fn all_are_answered_while_others_cancel_and_flush() {
    shuttle::check_random(
        || {
            let model = Model::start(2, Duration::from_millis(5));
            let callers: Vec<_> = (0..4).map(|it| model.caller(it)).collect();
            let canceller = model.canceller(10);
            let flusher = model.flusher();
            for (item, caller) in (0..).zip(callers) {
                let answer = caller.join().unwrap();
                assert_eq!(answer.unwrap(), item * 10);
            }
            canceller.join().unwrap();
            flusher.join().unwrap();
            model.shared.desert();
            model.finish();
        },
        ITERATIONS,
    );
}

#[test]
fn all_are_answered_when_the_last_handle_goes() {
    shuttle::check_random(
        || {
            let model = Model::start(3, Duration::from_millis(5));
            let callers: Vec<_> = (0..4).map(|it| model.caller(it)).collect();
            let canceller = model.canceller(10);
            model.shared.drain();
            for (item, caller) in (0..).zip(callers) {
                assert_eq!(caller.join().unwrap().unwrap(), item * 10);
            }
            canceller.join().unwrap();
            model.shared.desert();
            model.finish();
        },
        ITERATIONS,
    );
}

#[test]
fn all_are_answered_or_refused_at_a_shutdown() {
    for has_time in [true, false] {
        shuttle::check_random(
            move || {
                let model = Model::start(2, Duration::from_millis(5));
                let callers: Vec<_> = (0..3).map(|it| model.caller(it)).collect();
                let flusher = model.flusher();
                model.shared.close();
                if !has_time {
                    model.shared.stop();
                }
                let mut watcher = Watcher::default();
                block_on(poll_fn(|cx| model.shared.poll_over(&mut watcher, cx)));
                for (item, caller) in (0..).zip(callers) {
                    match caller.join().unwrap() {
                        Ok(answer) => assert_eq!(answer, item * 10),
                        // With time, only what was never accepted is refused.
                        Err(error) => {
                            assert!(error.is::<Closed>() || error.to_string() == "refused");
                            assert!(!has_time || error.to_string() == "refused");
                        }
                    }
                }
                flusher.join().unwrap();
                model.finish();
            },
            ITERATIONS,
        );
    }
}

struct Model {
    shared: Arc<Batcher>,
    sent: Arc<Mutex<Vec<u32>>>,
    withdrawn: Arc<Mutex<Vec<u32>>>,
    worker: thread::JoinHandle<()>,
}

impl Model {
    fn start(items: usize, linger: Duration) -> Self {
        let limits = Limits::new(items).and_then(|it| it.with_linger(linger));
        let shared = Arc::new(Shared::new(limits.unwrap(), clock));
        let sent = Arc::new(Mutex::new(Vec::new()));
        let worker = thread::spawn({
            let (shared, sent) = (Arc::clone(&shared), Arc::clone(&sent));
            move || work(&shared, &sent)
        });
        Self {
            shared,
            sent,
            withdrawn: Arc::default(),
            worker,
        }
    }

    fn caller(&self, item: u32) -> thread::JoinHandle<Result<u32, BoxError>> {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            let mut ticket: Option<Ticket<u32>> = None;
            block_on(poll_fn(|cx| {
                let waker = cx.waker().clone();
                let Some(ticket) = &ticket else {
                    match shared.submit(submitted(item, waker), item % 2) {
                        Ok(accepted) => ticket = Some(accepted),
                        Err(_) => return Poll::Ready(Err("refused".into())),
                    }
                    return Poll::Pending;
                };
                if let Some(answer) = ticket.parcel.take(ticket.seat) {
                    return Poll::Ready(answer);
                }
                shared.watch(ticket, waker);
                match ticket.parcel.take(ticket.seat) {
                    Some(answer) => Poll::Ready(answer),
                    None => Poll::Pending,
                }
            }))
        })
    }

    /// Submits an item, and takes it back.
    fn canceller(&self, item: u32) -> thread::JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        let withdrawn = Arc::clone(&self.withdrawn);
        thread::spawn(move || {
            let waker = std::task::Waker::noop().clone();
            if let Ok(ticket) = shared.submit(submitted(item, waker), 0)
                && shared.withdraw(ticket)
            {
                withdrawn.lock().push(item);
            }
        })
    }

    /// Flushes; all that was accepted before has been sent then.
    fn flusher(&self) -> thread::JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            let below = shared.flush();
            let mut watcher = Watcher::default();
            block_on(poll_fn(|cx| shared.poll_answered(below, &mut watcher, cx)));
        })
    }

    fn finish(self) {
        self.worker.join().unwrap();
        let mut sent = self.sent.lock().clone();
        let all = sent.len();
        for item in &*self.withdrawn.lock() {
            assert!(!sent.contains(item), "sent after it was withdrawn");
        }
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), all, "sent twice");
        let numbers = self.shared.numbers();
        assert_eq!((numbers.waiting, numbers.in_flight), (0, 0));
    }
}

fn submitted(item: u32, waker: std::task::Waker) -> Submitted<u32> {
    Submitted {
        request: item,
        weight: 1,
        waker,
        span: None,
    }
}

/// Sends batches, one at a time, each of which takes a turn.
fn work(shared: &Batcher, sent: &Mutex<Vec<u32>>) {
    let mut now = clock();
    let mut has_yielded = false;
    block_on(poll_fn(|cx| {
        loop {
            match shared.next(now, true, has_yielded, cx.waker()) {
                Next::Stop => return Poll::Ready(()),
                Next::Cancel => {}
                Next::Yield => {
                    has_yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Next::Send => {
                    has_yielded = false;
                    if let Some(batch) = shared.take(now) {
                        let Batch {
                            parcel,
                            requests,
                            seats,
                            width,
                            ..
                        } = batch;
                        sent.lock().extend(&requests);
                        thread::yield_now();
                        let items = requests.len();
                        let seats = seats.unwrap_or_else(|| (0..width).collect());
                        assert_eq!(seats.len(), items);
                        let mut answers: Vec<_> = (0..width).map(|_| None).collect();
                        for (seat, item) in seats.iter().zip(requests) {
                            answers[*seat] = Some(Ok(item * 10));
                        }
                        shared.answer(&parcel, (items, None), Answers::each(answers));
                    }
                }
                Next::Sleep => return Poll::Pending,
                // The timer fires when the others have had their turn.
                Next::SleepUntil(until) => {
                    now = until;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }));
    shared.end();
}

/// Stands still but for the linger.
fn clock() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
