//! Caches, one shared by all callers.

mod ours;
#[cfg(feature = "peers")]
mod peers;
mod quick;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::yield_now;

use crate::{
    backend::Failed,
    group::{ALONE_AND_SHARED, Group, Row, Scenario, Setting},
    work::Caller,
};

/// How many keys there are, all of them in the cache where all calls hit.
const KEYS: usize = 100_000;

/// Entries that there is room for where all calls hit: the room is divided, and no part of it is to be full.
const ROOM: usize = 2 * KEYS;

/// Entries that there is room for where all calls miss.
const SMALL: usize = 10_000;

/// Longer than any run.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn group() -> Group {
    Group {
        name: "cache",
        title: "Cache",
        crates: &[
            "mainstay-ttl-cache",
            "quick_cache",
            "moka",
            "cached",
            "foyer-memory",
            "cachet",
            "tower-resilience-cache",
        ],
        scenarios: vec![
            Scenario {
                name: "hit",
                about: "100,000 numbers by numbers, asked for as often as Zipf's law with 0.99 says; all are there, \
                    with an hour to live. quick_cache and foyer have no times to live.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: hits(),
            },
            Scenario {
                name: "hit, by text",
                about: "As before, but `Arc<str>` by `String`.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: hits_by_text(),
            },
            Scenario {
                name: "miss",
                about: "Each call asks for a number that was never asked for, and loads it at once; there is room for \
                    10,000. The floor gets and inserts, and has no single flight.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: misses(),
            },
            Scenario {
                name: "crowd",
                about: "1,000 tasks ask for the same number, which none has asked for before, and its load yields \
                    once; where there is no single flight, there are 1,000 loads.",
                fails_one_in: 0,
                settings: CROWDS,
                rows: crowds(),
            },
        ],
    }
}

const CROWDS: &[Setting] = &[
    Setting::Tasks {
        tasks: 1_000,
        workers: 1,
    },
    Setting::Tasks {
        tasks: 1_000,
        workers: 2,
    },
];

fn hits() -> Vec<Row> {
    let mut rows = quick::hits();
    rows.extend(ours::hits());
    #[cfg(feature = "peers")]
    rows.extend(peers::hits());
    rows
}

fn hits_by_text() -> Vec<Row> {
    let mut rows = quick::hits_by_text();
    rows.extend(ours::hits_by_text());
    #[cfg(feature = "peers")]
    rows.extend(peers::hits_by_text());
    rows
}

fn misses() -> Vec<Row> {
    let mut rows = quick::misses();
    rows.extend(ours::misses());
    #[cfg(feature = "peers")]
    rows.extend(peers::misses());
    rows
}

fn crowds() -> Vec<Row> {
    let mut rows = quick::crowds();
    rows.extend(ours::crowds());
    #[cfg(feature = "peers")]
    rows.extend(peers::crowds());
    rows
}

/// The key of a request.
#[inline]
fn zipf(request: u64) -> u64 {
    static DRAWN: LazyLock<Box<[u32]>> = LazyLock::new(draw);
    u64::from(DRAWN[request as usize % DRAWS])
}

/// The key of a request, as a text of about 20 letters.
#[inline]
fn text(request: u64) -> &'static str {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| texts().collect());
    &TEXTS[zipf(request) as usize]
}

fn texts() -> impl Iterator<Item = String> {
    (0..KEYS).map(|it| format!("the key of {it:09}"))
}

const DRAWS: usize = 1 << 16;

fn draw() -> Box<[u32]> {
    let mut sums = Vec::with_capacity(KEYS);
    let mut sum = 0.0;
    for rank in 1..=KEYS {
        sum += (rank as f64).powf(-0.99);
        sums.push(sum);
    }
    let mut rng = StdRng::seed_from_u64(1);
    let mut draw = || {
        let at = rng.random::<f64>() * sum;
        sums.partition_point(|it| *it < at) as u32
    };
    (0..DRAWS).map(|_| draw()).collect()
}

/// A key that was never asked for.
#[inline]
fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1 << 40);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Tasks that make their calls for the same keys, other ones in each sample.
struct Crowd<C> {
    call: C,
    samples: Arc<AtomicU64>,
}

impl<C: Clone> Clone for Crowd<C> {
    fn clone(&self) -> Self {
        Self {
            call: self.call.clone(),
            samples: Arc::default(),
        }
    }
}

fn crowd<C, F>(call: C) -> Crowd<C>
where
    C: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<u64, Failed>> + Send,
{
    Crowd {
        call,
        samples: Arc::default(),
    }
}

impl<C, F> Caller for Crowd<C>
where
    C: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<u64, Failed>> + Send,
{
    fn run(&mut self, _: u64) -> u64 {
        unreachable!("a crowd is of tasks")
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        let sample = self.samples.fetch_add(1, Ordering::Relaxed);
        let call = self.call.clone();
        Box::pin(async move {
            let mut succeeded = 0;
            for request in 0..calls {
                succeeded += u64::from(call(sample << 32 | request).await.is_ok());
            }
            succeeded
        })
    }
}

/// The load of a crowd.
async fn load(key: u64) -> Result<u64, Failed> {
    yield_now().await;
    crate::backend::Backend::<0>.answer(key)
}
