//! One of two instances is killed ten times a second.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay::Calls;
use mainstay_examples::trial_proto::trial_client::TrialClient;
use mainstay_examples::trial_proto::{ReadRequest, WriteRequest};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::{Code, Status};

use crate::fleet::{Client, Fleet, LASTS, signal};

const CALLERS: u64 = 64;
/// Calls must take less time than there is between two kills, which without optimization large ones
/// hardly do.
const EVERY: Duration = if cfg!(debug_assertions) {
    Duration::from_millis(300)
} else {
    Duration::from_millis(100)
};

/// What callers ask for, half of them with reads and half with writes.
#[derive(Clone, Copy, Debug)]
struct Load {
    milliseconds: u32,
    answer_size: u32,
}

const LOADS: [Load; 4] = [
    Load::new(0, 16),
    Load::new(5, 16),
    Load::new(0, 256 << 10),
    Load::new(5, 256 << 10),
];

/// What became of the calls of one caller, or of all.
#[derive(Debug, Default)]
struct Seen {
    reads: u64,
    failed_reads: Vec<Status>,
    writes: u64,
    failed_writes: HashMap<u64, Status>,
}

/// What was done to the plugin.
#[derive(Debug)]
struct Done {
    signals: u32,
    pids: HashSet<u32>,
}

/// A storm, and what was left of it.
struct Storm {
    load: Load,
    seen: Seen,
    done: Done,
    /// Of the reads and the writes.
    calls: [Calls; 2],
    /// How often each write ran, by its id.
    runs: HashMap<u64, u32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_that_a_plugin_is_killed_ten_times_a_second() {
    let mut all = (0, 0);
    for load in LOADS {
        let storm = Storm::over(load, Signal::KILL, LASTS).await;
        storm.tell();
        storm.no_read_fails();
        storm.no_write_runs_twice();
        storm.a_write_fails_only_where_it_may_have_run();
        storm.many_were_killed();
        storm.only_what_died_was_tried_again();
        all.0 += storm.calls[0].attempts;
        all.1 += storm.seen.reads;
    }
    let attempts = all.0 as f64 / all.1 as f64;
    println!("{attempts:.4} attempts a read, of all");
    assert!(attempts <= 1.05, "{attempts} attempts for each read");
}

/// As in a rolling restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_that_a_plugin_is_told_to_end_ten_times_a_second() {
    for load in LOADS {
        let storm = Storm::over(load, Signal::TERM, LASTS / 3).await;
        storm.tell();
        storm.no_read_fails();
        storm.no_write_runs_twice();
        storm.no_write_fails();
    }
}

impl Storm {
    async fn over(load: Load, signal: Signal, lasts: Duration) -> Self {
        let fleet = Fleet::new().await;
        let stacks = [fleet.another_stack(), fleet.another_stack()];
        let seen = Arc::<Mutex<Seen>>::default();
        let end = Instant::now() + lasts;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let client = TrialClient::new(stacks[usize::from(writes(caller))].clone());
            callers.spawn(call(caller, load, client, end, seen.clone()));
        }
        let done = send(signal, &fleet, end).await;
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
        let mut runs = HashMap::new();
        for id in fleet.runs.read().unwrap() {
            *runs.entry(id).or_default() += 1;
        }
        let calls = stacks.each_ref().map(|it| it.snapshot().calls);
        drop(stacks);
        fleet.end().await;
        Self {
            load,
            seen: std::mem::take(&mut seen.lock().unwrap()),
            done,
            calls,
            runs,
        }
    }

    fn tell(&self) {
        let Self {
            load,
            seen,
            done,
            calls,
            runs,
        } = self;
        println!(
            "{load:?}: {} reads, {} failed; {} writes, {} failed, {} ran; {:.4} attempts a read; {} signals, {} pids",
            seen.reads,
            seen.failed_reads.len(),
            seen.writes,
            seen.failed_writes.len(),
            runs.len(),
            calls[0].attempts as f64 / seen.reads as f64,
            done.signals,
            done.pids.len(),
        );
        for (calls, number) in calls.iter().zip([seen.reads, seen.writes]) {
            assert_eq!(calls.succeeded + calls.failed, number);
            assert_eq!(calls.in_flight, 0);
        }
    }

    fn no_read_fails(&self) {
        assert!(self.seen.reads > 0);
        let failed = self.seen.failed_reads.first();
        assert!(failed.is_none(), "{:?}: {failed:?}", self.load);
    }

    fn no_write_fails(&self) {
        let failed = self.seen.failed_writes.iter().next();
        assert!(failed.is_none(), "{:?}: {failed:?}", self.load);
    }

    fn no_write_runs_twice(&self) {
        assert!(self.seen.writes > 0);
        let twice = self.runs.iter().find(|(_, times)| **times != 1);
        assert_eq!(twice, None, "{:?}", self.load);
    }

    /// It is said as what it is, and most of those that failed did run.
    fn a_write_fails_only_where_it_may_have_run(&self) {
        for status in self.seen.failed_writes.values() {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
        let failed = self.seen.failed_writes.len() as u64;
        let most = u64::from(self.done.signals) * CALLERS / 2;
        assert!(
            failed <= most,
            "{failed} failed of at most {most} that were under way"
        );
    }

    fn many_were_killed(&self) {
        if cfg!(debug_assertions) {
            return;
        }
        let Done { signals, pids } = &self.done;
        assert!(*signals >= 100 && pids.len() >= 50, "{:?}", self.done);
    }

    /// However slow the machine is, and so however few calls there are between two kills.
    fn only_what_died_was_tried_again(&self) {
        let of_both = |it: fn(&Calls) -> u64| self.calls.iter().map(it).sum::<u64>();
        let again = of_both(|it| it.attempts) - of_both(|it| it.succeeded + it.failed);
        let most = u64::from(self.done.signals) * CALLERS;
        assert!(again <= most, "{again} attempts more than calls");
    }
}

const fn writes(caller: u64) -> bool {
    !caller.is_multiple_of(2)
}

async fn call(caller: u64, load: Load, mut client: Client, end: Instant, all: Arc<Mutex<Seen>>) {
    let Load {
        milliseconds,
        answer_size,
    } = load;
    let mut seen = Seen::default();
    let mut id = caller << 32;
    while Instant::now() < end {
        let answer = if !writes(caller) {
            seen.reads += 1;
            let request = ReadRequest {
                milliseconds,
                answer_size,
            };
            client
                .read(request)
                .await
                .map_err(|status| seen.failed_reads.push(status))
        } else {
            id += 1;
            seen.writes += 1;
            let request = WriteRequest {
                id,
                milliseconds,
                answer_size,
            };
            client.write(request).await.map_err(|status| {
                seen.failed_writes.insert(id, status);
            })
        };
        if let Ok(answer) = answer {
            assert_eq!(answer.get_ref().content.len(), answer_size as usize);
        }
    }
    let mut all = all.lock().unwrap();
    all.reads += seen.reads;
    all.failed_reads.extend(seen.failed_reads);
    all.writes += seen.writes;
    all.failed_writes.extend(seen.failed_writes);
}

/// To the oldest one that has not got it yet, again and again.
async fn send(kind: Signal, fleet: &Fleet, end: Instant) -> Done {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = HashSet::new();
    let mut done = Done {
        signals: 0,
        pids: HashSet::new(),
    };
    while ticks.tick().await < end {
        let pids = fleet.pids();
        done.pids.extend(&pids);
        if let Some(pid) = pids.into_iter().find(|it| !told.contains(it)) {
            told.insert(pid);
            done.signals += 1;
            signal(pid, kind);
        }
    }
    done
}

impl Load {
    const fn new(milliseconds: u32, answer_size: u32) -> Self {
        Self {
            milliseconds,
            answer_size,
        }
    }
}
