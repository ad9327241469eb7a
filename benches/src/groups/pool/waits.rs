//! How long callers wait, and whether all get the same.
//!
//! That needs all callers for a while, and so it is measured apart from the times of single calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::Barrier,
    task::{JoinSet, yield_now},
};

use super::{Lends, floor, ours};

const TASKS: usize = 64;

const FOR: Duration = Duration::from_millis(500);

/// Of so many runs, each row's in turn, the one in the middle by its 99th percentile is told.
const RUNS: usize = 7;

/// What became of a run.
pub(super) struct Waits {
    name: &'static str,
    /// Of all waits.
    median: Duration,
    p99: Duration,
    longest: Duration,
    /// Of the leases of single tasks.
    fewest: usize,
    most: usize,
    leases: usize,
}

/// Measures, and prints a table for each number of workers.
///
/// # Panics
///
/// If a runtime cannot be started.
pub fn print() {
    for workers in [1, 2] {
        println!(
            "\n{TASKS} tasks, 8 connections, {workers} workers, {FOR:?}, held across a yield\n"
        );
        println!(
            "| | p50 us | p99 us | longest us | leases, fewest - most of a task | spread | in all |"
        );
        println!("|---|---|---|---|---|---|---|");
        let rows: Vec<fn(usize) -> Waits> = rows();
        let mut runs: Vec<Vec<Waits>> = rows.iter().map(|_| Vec::new()).collect();
        for _ in 0..RUNS {
            for (row, runs) in rows.iter().zip(&mut runs) {
                runs.push(row(workers));
            }
        }
        for mut runs in runs {
            runs.sort_by_key(|it| it.p99);
            runs[RUNS / 2].print();
        }
    }
}

fn rows() -> Vec<fn(usize) -> Waits> {
    #[cfg_attr(
        not(feature = "peers"),
        expect(unused_mut, reason = "only peers are added")
    )]
    let mut rows: Vec<fn(usize) -> Waits> = vec![
        |workers| measure("semaphore and vector", floor, workers),
        |workers| measure("mainstay", ours::whole, workers),
        |workers| measure("mainstay, 2 shared by 4", ours::shared, workers),
    ];
    #[cfg(feature = "peers")]
    rows.extend(super::peers::waits());
    rows
}

/// All tasks start together and stop at the same time.
pub(super) fn measure<P: Lends>(name: &'static str, make: fn() -> P, workers: usize) -> Waits {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("a runtime");
    let tasks = runtime.block_on(async {
        let pool = Arc::new(make());
        let start = Arc::new(Barrier::new(TASKS));
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let (pool, start) = (pool.clone(), start.clone());
            tasks.spawn(async move {
                let mut waits = Vec::with_capacity(1 << 16);
                start.wait().await;
                let end = Instant::now() + FOR;
                loop {
                    let asked = Instant::now();
                    if asked > end {
                        return waits;
                    }
                    let lent = pool.cycle(async {
                        waits.push(asked.elapsed());
                        yield_now().await;
                    });
                    assert!(lent.await, "it is not closed");
                }
            });
        }
        tasks.join_all().await
    });
    let counts = || tasks.iter().map(Vec::len);
    let (fewest, most) = (counts().min(), counts().max());
    let mut waits: Vec<_> = tasks.iter().flatten().copied().collect();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    Waits {
        name,
        median: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
        fewest: fewest.unwrap_or(0),
        most: most.unwrap_or(0),
        leases: waits.len(),
    }
}

impl Waits {
    fn print(&self) {
        let Self {
            name,
            median,
            p99,
            longest,
            fewest,
            most,
            leases,
        } = self;
        let us = |time: &Duration| time.as_nanos() as f64 / 1000.0;
        println!(
            "| {name} | {:.1} | {:.1} | {:.0} | {fewest} - {most} | {:.1} % | {leases} |",
            us(median),
            us(p99),
            us(longest),
            100.0 * (*most as f64 / *fewest as f64 - 1.0),
        );
    }
}
