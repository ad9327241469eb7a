//! A plugin whose processes are killed ten times a second, under load, and what its callers notice.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use mainstay::{Instances, Stack, Stacked, Supervisor};
use mainstay_examples::trial::{self, Runs};
use mainstay_examples::trial_proto::trial_client::TrialClient;
use mainstay_examples::trial_proto::{ReadRequest, WriteRequest};
use mainstay_plugin::Launcher;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tonic::Status;

const CALLERS: u64 = 64;
const EVERY: Duration = Duration::from_millis(100);
const LARGE: u32 = 256 << 10;
const SMALL: u32 = 16;

type Client = TrialClient<Stacked<Instances>>;

/// What callers ask for.
#[derive(Clone, Copy, Debug)]
struct Load {
    milliseconds: u32,
    answer_size: u32,
}

/// What became of the calls.
#[derive(Debug, Default)]
struct Seen {
    reads: AtomicU64,
    failed_reads: std::sync::Mutex<Vec<Status>>,
    writes: AtomicU64,
    failed_writes: std::sync::Mutex<HashMap<u64, Status>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_notices_that_a_plugin_is_killed_ten_times_a_second() {
    for answer_size in [SMALL, LARGE] {
        for milliseconds in [0, 5] {
            let load = Load {
                milliseconds,
                answer_size,
            };
            storm(
                load,
                if std::env::var("TERM_").is_ok() {
                    Signal::TERM
                } else {
                    Signal::KILL
                },
                seconds(),
            )
            .await;
        }
    }
}

fn seconds() -> Duration {
    let seconds = std::env::var("STORM_SECONDS").map_or(8, |it| it.parse().unwrap());
    Duration::from_secs(seconds)
}

async fn storm(load: Load, signal: Signal, lasts: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path().join("runs"));
    let launcher = Launcher::new(
        env!("CARGO_BIN_EXE_trial_plugin"),
        trial::cookie().unwrap(),
        trial::VERSION,
    )
    .with_auto_mtls()
    .with_variable("TMPDIR", dir.path())
    .with_variable(trial::RUNS, runs.path());
    let instances = Supervisor::new(launcher, const { NonZeroU32::new(2).unwrap() })
        .with_name("trial")
        .start();
    instances.ready().await.unwrap();
    let stack = Stack::new(trial::methods()).over(&instances);
    let client = TrialClient::new(stack.clone());
    let seen = Arc::<Seen>::default();
    let end = Instant::now() + lasts;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(caller, load, client.clone(), end, seen.clone()));
    }
    let (kills, pids) = kill(&instances, signal, end).await;
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let snapshot = stack.snapshot();
    let ran = runs.read().unwrap();
    let mut times = HashMap::new();
    for id in &ran {
        *times.entry(*id).or_insert(0) += 1;
    }
    let failed_reads = seen.failed_reads.lock().unwrap();
    let failed_writes = seen.failed_writes.lock().unwrap();
    let (reads, writes) = (seen.reads.load(SeqCst), seen.writes.load(SeqCst));
    let attempts = snapshot.calls.attempts as f64 / (reads + writes) as f64;
    println!(
        "{load:?} {signal:?}: {reads} reads, {} failed; {writes} writes, {} failed; {} ran, {} twice; \
         {attempts:.4} attempts; {kills} kills, {} pids; {} starts; pool {:?}",
        failed_reads.len(),
        failed_writes.len(),
        times.len(),
        times.values().filter(|it| **it > 1).count(),
        pids.len(),
        snapshot.instances.as_ref().unwrap().pool.created,
        snapshot.instances.as_ref().unwrap().pool,
    );
    let mut kinds = HashMap::<_, u32>::new();
    for status in failed_reads.iter().chain(failed_writes.values()) {
        *kinds.entry((status.code(), status.message())).or_default() += 1;
    }
    println!("{kinds:?}");
    drop(client);
    drop(stack);
    instances.drain(Duration::from_secs(10)).await.unwrap();
    assert!(failed_reads.is_empty());
    assert!(times.values().all(|it| *it == 1));
}

async fn call(caller: u64, load: Load, mut client: Client, end: Instant, seen: Arc<Seen>) {
    let Load {
        milliseconds,
        answer_size,
    } = load;
    let mut id = caller << 32;
    while Instant::now() < end {
        if caller % 2 == 0 {
            let request = ReadRequest {
                milliseconds,
                answer_size,
            };
            match client.read(request).await {
                Ok(answer) => {
                    assert_eq!(answer.get_ref().content.len(), answer_size as usize);
                }
                Err(status) => {
                    seen.failed_reads.lock().unwrap().push(status);
                    sleep(Duration::from_millis(10)).await;
                }
            }
            seen.reads.fetch_add(1, SeqCst);
        } else {
            id += 1;
            let request = WriteRequest {
                id,
                milliseconds,
                answer_size,
            };
            if let Err(status) = client.write(request).await {
                seen.failed_writes.lock().unwrap().insert(id, status);
            }
            seen.writes.fetch_add(1, SeqCst);
        }
    }
}

/// The oldest one that was not yet, ten times a second.
async fn kill(instances: &Instances, signal: Signal, end: Instant) -> (u32, HashSet<u32>) {
    let mut ticks = interval(EVERY);
    let mut kills = 0;
    let mut killed = HashSet::new();
    let mut pids = HashSet::new();
    while ticks.tick().await < end {
        let running = instances.snapshot().running;
        pids.extend(running.iter().map(|it| it.pid));
        let Some(next) = running.iter().find(|it| !killed.contains(&it.pid)) else {
            continue;
        };
        killed.insert(next.pid);
        kills += 1;
        let pid = Pid::from_raw(next.pid.cast_signed()).unwrap();
        let _ = kill_process(pid, signal);
    }
    (kills, pids)
}
