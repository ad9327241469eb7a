//! Batches of requests of many tasks, and many items of one.

mod ours;
#[cfg(feature = "peers")]
mod peers;
pub(super) mod steady;

use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    backend::{Backend, Failed},
    group::{Group, Role, Row, Scenario, Setting},
    work::{Caller, Driver, Tower},
};

/// Requests that a task makes one after the other, for each call that is counted: then what it costs
/// to start the task is no great part of it.
const EACH: u64 = 8;

/// The same, where it is to be no part of it at all, nor those who come and go.
const EACH_STEADY: u64 = 64;

/// Items of a map over two threads for each call that is counted: the second thread takes its time to wake.
const LOT: u64 = 1_000;

/// The most items of a batch.
const BATCH: usize = 100;

/// The most items of a map that are worked on at once.
const AT_ONCE: usize = 64;

pub(super) fn group() -> Group {
    Group {
        name: "batch",
        title: "Batch",
        crates: &[
            "mainstay-batch",
            "tower-batch",
            "batch-aint-one",
            "async-graphql",
            "tower",
            "futures-util",
            "tokio",
        ],
        scenarios: vec![
            Scenario {
                name: "requests",
                about: "A call is 8 requests one after the other, which are sent in batches of up to 100, one batch at \
                    a time, with a linger of 1 ms where there is one. The service answers at once. tower's Buffer \
                    sends each alone.",
                fails_one_in: 0,
                settings: CROWDS,
                rows: requests(),
            },
            Scenario {
                name: "requests, steady load",
                about: "As before, but a call is 64 requests one after the other: how tasks begin and end is a small \
                    part of it.",
                fails_one_in: 0,
                settings: &CROWDS[..2],
                rows: steady_requests(),
            },
            Scenario {
                name: "loads",
                about: "A call is 8 loads one after the other of 10,000 keys, in batches of up to 100; nothing is \
                    remembered.",
                fails_one_in: 0,
                settings: &CROWDS[..2],
                rows: loads(),
            },
            Scenario {
                name: "map, ready items",
                about: "Items of which 64 at once may be worked on, and each is ready at once.",
                fails_one_in: 0,
                settings: &[Setting::Threads(1)],
                rows: ready_items(),
            },
            Scenario {
                name: "map, yielding items",
                about: "As before, but each item wakes itself and is pending once.",
                fails_one_in: 0,
                settings: &[Setting::Threads(1)],
                rows: yielding_items(),
            },
            Scenario {
                name: "map over two threads",
                about: "A call is 1,000 items that each keep a processor busy for about a microsecond, 64 of them at once; \
                    those of the floor stay on one thread.",
                fails_one_in: 0,
                settings: &[Setting::Tasks {
                    tasks: 1,
                    workers: 2,
                }],
                rows: busy_items(),
            },
        ],
    }
}

/// Where the tasks outnumber a batch by far, and where they do not.
const CROWDS: &[Setting] = &[
    Setting::Tasks {
        tasks: 1_000,
        workers: 1,
    },
    Setting::Tasks {
        tasks: 1_000,
        workers: 2,
    },
    Setting::Tasks {
        tasks: 64,
        workers: 2,
    },
    Setting::Tasks {
        tasks: 4_096,
        workers: 2,
    },
];

fn requests() -> Vec<Row> {
    let floor = Row::new("bare service", Role::Floor, || {
        Many::<EACH, _>(Tower(Backend::<0>))
    });
    let mut rows = vec![floor];
    rows.extend(ours::requests::<EACH>());
    #[cfg(feature = "peers")]
    rows.extend(peers::requests::<EACH>());
    rows
}

fn steady_requests() -> Vec<Row> {
    let floor = Row::new("bare service", Role::Floor, || {
        Many::<EACH_STEADY, _>(Tower(Backend::<0>))
    });
    let mut rows = vec![floor];
    rows.extend(ours::requests::<EACH_STEADY>());
    #[cfg(feature = "peers")]
    rows.extend(peers::requests::<EACH_STEADY>());
    rows
}

fn loads() -> Vec<Row> {
    let floor = Row::new("bare service", Role::Floor, || {
        Many::<EACH, _>(Tower(Backend::<0>))
    });
    let mut rows = vec![floor];
    rows.extend(ours::loads());
    #[cfg(feature = "peers")]
    rows.extend(peers::loads());
    rows
}

fn ready_items() -> Vec<Row> {
    let mut rows = vec![one_by_one(is_ready)];
    rows.extend(ours::maps(is_ready));
    #[cfg(feature = "peers")]
    rows.extend(peers::maps(is_ready));
    rows
}

fn yielding_items() -> Vec<Row> {
    let mut rows = vec![one_by_one(yields)];
    rows.extend(ours::maps(yields));
    #[cfg(feature = "peers")]
    rows.extend(peers::maps(yields));
    rows
}

fn busy_items() -> Vec<Row> {
    let floor = Row::new("one by one", Role::Floor, || lots(counted(is_busy)));
    let mut rows = vec![floor];
    rows.extend(ours::spawned(is_busy));
    #[cfg(feature = "peers")]
    rows.extend(peers::spawned(is_busy));
    rows
}

/// Items without anything that has several at once.
fn one_by_one<F: Item>(item: fn(u64) -> F) -> Row {
    Row::new("one by one", Role::Floor, move || Mapped(counted(item)))
}

fn counted<F: Item>(item: fn(u64) -> F) -> impl Fn(u64) -> Counting + Clone + Send {
    move |items| {
        Box::pin(async move {
            let mut succeeded = 0;
            for it in 0..items {
                succeeded += u64::from(item(it).await.is_ok());
            }
            succeeded
        })
    }
}

/// The work on one item.
trait Item: Future<Output = Result<u64, Failed>> + Send + 'static {}

impl<F: Future<Output = Result<u64, Failed>> + Send + 'static> Item for F {}

fn is_ready(item: u64) -> impl Item {
    ready(Backend::<0>.answer(item))
}

fn yields(item: u64) -> impl Item {
    let mut is_first = true;
    poll_fn(move |cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Backend::<0>.answer(item))
    })
}

async fn is_busy(item: u64) -> Result<u64, Failed> {
    let mut value = item;
    for _ in 0..2_000 {
        value = std::hint::black_box(value.wrapping_mul(3).wrapping_add(1));
    }
    Backend::<0>.answer(value)
}

/// A map of as many items as are a call.
fn lots(
    map: impl Fn(u64) -> Counting + Clone + Send + 'static,
) -> Mapped<impl Fn(u64) -> Counting + Clone + Send> {
    Mapped(move |calls| {
        let items = map(calls * LOT);
        Box::pin(async move { items.await / LOT }) as Counting
    })
}

/// Counts how many of so many items succeed.
type Counting = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Works on items, all that a sample has at once.
#[derive(Clone)]
struct Mapped<M>(M);

impl<M: Fn(u64) -> Counting + Send> Caller for Mapped<M> {
    fn run(&mut self, calls: u64) -> u64 {
        Driver::with(|driver| driver.run(self.task(calls)))
    }

    fn task(&self, calls: u64) -> Counting {
        self.0(calls)
    }
}

/// Makes several calls for each that is counted.
#[derive(Clone)]
struct Many<const EACH: u64, C>(C);

impl<const EACH: u64, C: Caller> Caller for Many<EACH, C> {
    fn run(&mut self, calls: u64) -> u64 {
        self.0.run(calls * EACH) / EACH
    }

    fn task(&self, calls: u64) -> Counting {
        let calls = self.0.task(calls * EACH);
        Box::pin(async move { calls.await / EACH })
    }
}

/// Answers batches at once, and counts them.
#[derive(Clone, Default)]
struct Batches(Arc<steady::Sent>);

impl Service<Vec<u64>> for Batches {
    type Response = Vec<Result<u64, Failed>>;
    type Error = Failed;
    type Future = std::future::Ready<Result<Self::Response, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, items: Vec<u64>) -> Self::Future {
        self.0.batch(items.len());
        ready(Ok(items
            .into_iter()
            .map(|it| Backend::<0>.answer(it))
            .collect()))
    }
}
