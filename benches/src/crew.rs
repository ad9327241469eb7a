//! The threads that call.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::{
    runtime::{Builder, EnterGuard, Handle, Runtime},
    task::JoinSet,
};

use crate::{group::Setting, work::Caller};

/// Threads that are bound to a processor each, and runtimes. They live as long as the run, so that no start of a thread
/// is ever measured.
pub(crate) struct Crew {
    threads: Vec<Sender<Job>>,
    /// With one worker, with two, and so on.
    runtimes: Vec<Runtime>,
}

struct Job {
    caller: Box<dyn Caller>,
    calls: u64,
    start: Arc<Gate>,
    done: Sender<Done>,
}

struct Done {
    caller: Box<dyn Caller>,
    succeeded: u64,
    from: Instant,
    to: Instant,
}

/// Opens when all have come. They spin: to be woken takes longer than many a sample.
struct Gate {
    awaited: AtomicUsize,
}

/// All callers of a row, and how long their calls took.
pub(crate) struct Sample {
    pub(crate) succeeded: u64,
    pub(crate) elapsed: Duration,
}

impl Crew {
    /// So many threads, or as many as there are processors; and runtimes of up to as many workers.
    pub(crate) fn new(most: usize) -> Self {
        let runtimes: Vec<_> = (1..=most).map(runtime).collect();
        let timers = runtimes[most - 1].handle();
        let threads = processors().into_iter().take(most);
        Self {
            threads: threads.map(|it| spawn(it, timers.clone())).collect(),
            runtimes,
        }
    }

    /// The runtime that rows are made in for a setting: some crates want one then, and leave tasks on it.
    pub(crate) fn enter(&self, setting: Setting) -> EnterGuard<'_> {
        match setting {
            Setting::Threads(_) => self.runtimes[self.runtimes.len() - 1].enter(),
            Setting::Tasks { workers, .. } => self.runtimes[workers - 1].enter(),
        }
    }

    /// How many threads can call at the same time.
    pub(crate) fn size(&self) -> usize {
        self.threads.len()
    }

    /// One sample: each of the callers makes so many calls.
    pub(crate) fn run(
        &self,
        setting: Setting,
        callers: &mut Vec<Box<dyn Caller>>,
        calls: u64,
    ) -> Sample {
        match setting {
            Setting::Threads(_) => self.in_threads(callers, calls),
            Setting::Tasks { workers, .. } => self.in_tasks(workers, callers, calls),
        }
    }

    fn in_threads(&self, callers: &mut Vec<Box<dyn Caller>>, calls: u64) -> Sample {
        let start = Arc::new(Gate {
            awaited: AtomicUsize::new(callers.len()),
        });
        let (done, ends) = mpsc::channel();
        for (caller, thread) in callers.drain(..).zip(&self.threads) {
            let job = Job {
                caller,
                calls,
                start: Arc::clone(&start),
                done: done.clone(),
            };
            thread.send(job).expect("a thread ends with its crew");
        }
        drop(done);
        let ends: Vec<Done> = ends.iter().collect();
        let from = ends.iter().map(|it| it.from).min();
        let to = ends.iter().map(|it| it.to).max();
        let succeeded = ends.iter().map(|it| it.succeeded).sum();
        callers.extend(ends.into_iter().map(|it| it.caller));
        Sample {
            succeeded,
            elapsed: to.zip(from).map(|(to, from)| to - from).unwrap_or_default(),
        }
    }

    fn in_tasks(&self, workers: usize, callers: &[Box<dyn Caller>], calls: u64) -> Sample {
        let runtime = &self.runtimes[workers - 1];
        let tasks: Vec<_> = callers.iter().map(|it| it.task(calls)).collect();
        let all = async move {
            let from = Instant::now();
            let mut tasks: JoinSet<u64> = tasks.into_iter().collect();
            let mut succeeded = 0;
            while let Some(task) = tasks.join_next().await {
                succeeded += task.expect("no call panics");
            }
            Sample {
                succeeded,
                elapsed: from.elapsed(),
            }
        };
        let all = runtime.spawn(all);
        runtime.block_on(all).expect("no call panics")
    }
}

/// A runtime of so many workers.
pub(crate) fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(workers).enable_all().build();
    runtime.expect("a system that has threads and files to spare")
}

/// Those that this process may use.
fn processors() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("a process may ask for its own processors");
    (0..CpuSet::MAX_CPU).filter(|it| set.is_set(*it)).collect()
}

fn spawn(processor: usize, timers: Handle) -> Sender<Job> {
    let (jobs, todo) = mpsc::channel();
    thread::spawn(move || {
        let mut set = CpuSet::new();
        set.set(processor);
        sched_setaffinity(None, &set).expect("the processor is among those that we may use");
        // For services that make timers; as a thread outside a task it has no budget of polls to use up.
        let _timers = timers.enter();
        work(todo);
    });
    jobs
}

fn work(todo: Receiver<Job>) {
    for mut job in todo {
        job.start.pass();
        let from = Instant::now();
        let succeeded = job.caller.run(job.calls);
        let done = Done {
            to: Instant::now(),
            from,
            succeeded,
            caller: job.caller,
        };
        // Nobody waits any more when another caller has panicked.
        let _ = job.done.send(done);
    }
}

impl Gate {
    fn pass(&self) {
        self.awaited.fetch_sub(1, Ordering::AcqRel);
        while self.awaited.load(Ordering::Acquire) != 0 {
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests;
