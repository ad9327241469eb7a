//! Works on many items, so many at once: `bounded_batch --concurrency 3 1 2 8` divides 360 by each.
//!
//! The Python original ignored its batch size, made a task for every item at once, mixed the errors in
//! among the results, and hung with a concurrency of zero. Here an item is pulled when there is room for
//! it, each has a result of its own, in order, and a panic is the result of its item alone.

use std::num::ParseIntError;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use mainstay_batch::{Concurrency, map_concurrent};
use mainstay_examples::program::{self, BoxError};
use tokio::time::sleep;

/// Divides 360 by many numbers, so many at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many are worked on at once.
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
    /// Ends with the first failure, and drops what is being worked on.
    #[arg(long)]
    fail_fast: bool,
    /// Numbers. Of none of them the share is a number: 0 is a panic, and a word is an error.
    #[arg(required = true)]
    items: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let Arguments {
        concurrency,
        fail_fast,
        items,
    } = arguments;
    let concurrency = Concurrency::new(concurrency)?;
    let busy = Busy::default();
    let shares = map_concurrent(&items, concurrency, |item| share(item, &busy));
    if fail_fast {
        println!("{:?}", shares.try_collect().await?);
        return Ok(());
    }

    let done = program::print_each(&items, shares.collect().await);
    println!("at once: {}", busy.peak.into_inner());
    done
}

/// What takes a while.
async fn share(item: &str, busy: &Busy) -> Result<u32, ParseIntError> {
    busy.peak
        .fetch_max(1 + busy.now.fetch_add(1, Relaxed), Relaxed);
    sleep(Duration::from_millis(5)).await;
    busy.now.fetch_sub(1, Relaxed);
    Ok(360 / item.parse::<u32>()?)
}

/// How many are being worked on, and how many were at most.
#[derive(Default)]
struct Busy {
    now: AtomicUsize,
    peak: AtomicUsize,
}
