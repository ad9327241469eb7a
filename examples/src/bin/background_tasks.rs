//! Runs background tasks by their names: `background_tasks health=10 metrics=25` calls each every so many
//! milliseconds, and stops them all.
//!
//! In the Python original a task that had failed kept its name for ever, two that were started by one name
//! left one running that nobody could stop, and one that ignored its cancellation blocked the stop of all
//! others. Here a name is free when its task has ended, whichever way, and has one task at most; all are
//! stopped at once, under one deadline, and who had to be aborted is named.

use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use mainstay_examples::program::{self, BoxError};
use mainstay_tasks::{Period, Tasks};
use tokio::time::sleep;

/// Runs background tasks for a while.
#[derive(Debug, Parser)]
struct Arguments {
    /// For how many milliseconds.
    #[arg(long, default_value_t = 100)]
    run_for: u64,
    /// Adds a task that fails at once, and is started again by its name.
    #[arg(long)]
    failing: bool,
    /// Adds a task that does not stop when it is asked to.
    #[arg(long)]
    stubborn: bool,
    /// NAME=MILLISECONDS, the period of each.
    #[arg(value_parser = periodic)]
    tasks: Vec<(String, Period)>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let tasks = Tasks::new();
    let mut counts = Vec::new();
    for (name, period) in arguments.tasks {
        let count = Arc::new(AtomicU32::new(0));
        counts.push((name.clone(), count.clone()));
        tasks.start_periodic(name, period, move || {
            count.fetch_add(1, Relaxed);
            async { Ok(()) }
        })?;
    }
    if arguments.failing {
        tasks.start("failing", async |_| Err("no space left on the disk".into()))?;
        while tasks.last_outcome("failing").is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        tasks.start("failing", async |stopping| {
            stopping.cancelled().await;
            Ok(())
        })?;
    }
    if arguments.stubborn {
        tasks.start("stubborn", async |_| pending().await)?;
    }
    sleep(Duration::from_millis(arguments.run_for)).await;

    let first = tasks.last_outcome("failing");
    let report = tasks
        .shutdown(Duration::from_millis(100), Duration::from_secs(1))
        .await;
    for (name, count) in counts {
        println!("{name}: {} runs", count.load(Relaxed));
    }
    if let Some(first) = first {
        println!("failing: at first {first}");
    }
    for ended in &report.finished {
        println!("{}: {}", ended.name, ended.outcome);
    }
    if !report.aborted.is_empty() {
        let names = report.aborted.join(", ");
        return Err(format!("did not stop, and were aborted: {names}").into());
    }
    Ok(())
}

fn periodic(text: &str) -> Result<(String, Period), BoxError> {
    let (name, period) = text.split_once('=').ok_or("expected NAME=MILLISECONDS")?;
    let period = Duration::from_millis(period.parse()?);
    Ok((name.into(), Period::new(period)?))
}
