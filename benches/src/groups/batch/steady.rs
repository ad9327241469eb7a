//! How large batches are under a load that goes on, and how long callers wait.
//!
//! Short samples begin and end with few callers. Here all of them call for a while, and only the middle of it counts.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, task::JoinSet};
use tower_service::Service;

use super::ours;
use crate::work::{Function, Tower};

const WARM_UP: Duration = Duration::from_millis(50);

const FOR: Duration = Duration::from_millis(200);

/// Of so many runs, each row's in turn, the one in the middle by its time is told.
const RUNS: usize = 5;

/// One of so many calls is timed.
const TIMED: u64 = 8;

/// What a service was sent.
#[derive(Default)]
pub(super) struct Sent {
    batches: AtomicU64,
    items: AtomicU64,
}

impl Sent {
    pub(super) fn batch(&self, items: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.items.fetch_add(items as u64, Relaxed);
    }

    fn now(&self) -> [u64; 2] {
        [self.batches.load(Relaxed), self.items.load(Relaxed)]
    }
}

/// What became of a run.
pub(super) struct Steady {
    name: &'static str,
    /// Of one processor, in nanoseconds.
    time: f64,
    mean: f64,
    median: Duration,
    p99: Duration,
    longest: Duration,
}

/// So many tasks on so many workers.
pub(super) type Run = fn(usize, usize) -> Steady;

/// Measures, and prints a table for each crowd.
///
/// # Panics
///
/// If a runtime cannot be started.
pub fn print() {
    for (tasks, workers) in [
        (1, 1),
        (1_000, 1),
        (1, 2),
        (8, 2),
        (64, 2),
        (256, 2),
        (1_000, 2),
        (4_096, 2),
    ] {
        println!("\n{tasks} tasks, {workers} workers, batches of up to 100, {FOR:?}\n");
        println!("| | an item, ns | mean batch | p50 us | p99 us | longest us |");
        println!("|---|---|---|---|---|---|");
        #[cfg_attr(
            not(feature = "peers"),
            expect(unused_mut, reason = "only peers are added")
        )]
        let mut rows: Vec<Run> = ours::steady();
        #[cfg(feature = "peers")]
        rows.extend(super::peers::steady());
        let mut runs: Vec<Vec<Steady>> = rows.iter().map(|_| Vec::new()).collect();
        for _ in 0..RUNS {
            for (row, runs) in rows.iter().zip(&mut runs) {
                runs.push(row(tasks, workers));
            }
        }
        for mut runs in runs {
            runs.sort_by(|a, b| a.time.total_cmp(&b.time));
            runs[RUNS / 2].print();
        }
    }
}

/// One of those who call.
pub(super) trait Asks: Clone + Send + 'static {
    fn ask(&mut self, request: u64) -> impl Future<Output = bool> + Send;
}

impl<S: Service<u64, Future: Send> + Clone + Send + 'static> Asks for Tower<S> {
    async fn ask(&mut self, request: u64) -> bool {
        poll_fn(|cx| self.0.poll_ready(cx)).await.is_ok() && self.0.call(request).await.is_ok()
    }
}

impl<C, F, T, E> Asks for Function<C>
where
    C: FnMut(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, E>> + Send,
{
    async fn ask(&mut self, request: u64) -> bool {
        (self.0)(request).await.is_ok()
    }
}

/// All tasks call until the end.
pub(super) fn measure<A: Asks>(
    name: &'static str,
    make: impl FnOnce(Arc<Sent>) -> A,
    (tasks, workers): (usize, usize),
) -> Steady {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("a runtime");
    let sent = Arc::<Sent>::default();
    let (counts, over) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicBool>::default(),
    );
    let guard = runtime.enter();
    let asks = make(Arc::clone(&sent));
    drop(guard);
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let (mut asks, counts, over) = (asks.clone(), Arc::clone(&counts), Arc::clone(&over));
        let task = async move {
            let mut waits = Vec::with_capacity(1 << 12);
            for request in 0.. {
                if over.load(Relaxed) {
                    break;
                }
                if request % TIMED == 0 && counts.load(Relaxed) {
                    let asked = Instant::now();
                    assert!(asks.ask(request).await, "it answers");
                    waits.push(asked.elapsed());
                } else {
                    assert!(asks.ask(request).await, "it answers");
                }
            }
            waits
        };
        set.spawn_on(task, runtime.handle());
    }
    std::thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), sent.now());
    counts.store(true, Relaxed);
    std::thread::sleep(FOR);
    let (elapsed, after) = (start.elapsed(), sent.now());
    over.store(true, Relaxed);
    let waits = runtime.block_on(set.join_all());

    let mut waits: Vec<_> = waits.into_iter().flatten().collect();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let [batches, items] = [after[0] - before[0], after[1] - before[1]].map(|it| it as f64);
    Steady {
        name,
        time: elapsed.as_secs_f64() * 1e9 * workers as f64 / items,
        mean: items / batches,
        median: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
    }
}

impl Steady {
    fn print(&self) {
        let Self {
            name,
            time,
            mean,
            median,
            p99,
            longest,
        } = self;
        let us = |time: &Duration| time.as_nanos() as f64 / 1000.0;
        println!(
            "| {name} | {time:.0} | {mean:.1} | {:.1} | {:.1} | {:.0} |",
            us(median),
            us(p99),
            us(longest),
        );
    }
}
