//! One crate alone, in a `ServiceBuilder` among tower's own layers: `one_crate --max 3 a bb ccc dddd` has
//! four callers, whose requests go to the service in two batches.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay_batch::{BatchLayer, Concurrency, Limits, map_concurrent};
use mainstay_examples::program::{self, BoxError};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt};

/// Counts the letters of words, for as many callers.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many words a batch has at most.
    #[arg(long, default_value = "100")]
    max: NonZeroUsize,
    /// An empty one is an error, of that word alone.
    #[arg(required = true)]
    words: Vec<String>,
}

// On one thread, so that all callers have come when the first batch is sent.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let counter = ServiceBuilder::new()
        .timeout(Duration::from_secs(5)) // of a caller
        .layer(BatchLayer::new(Limits::new(arguments.max.get())?))
        .timeout(Duration::from_secs(1)) // of a batch
        .service_fn(count);
    let all = Concurrency::new(arguments.words.len())?;
    let counts = map_concurrent(&arguments.words, all, |word| {
        let counter = counter.clone();
        async { counter.oneshot(word.clone()).await }
    });
    program::print_each(&arguments.words, counts.collect().await)
}

/// Counts the letters of many words at once.
async fn count(words: Vec<String>) -> Result<Vec<Result<usize, &'static str>>, BoxError> {
    sleep(Duration::from_millis(5)).await;
    println!("a batch of {}", words.len());
    let count = |word: &String| {
        if word.is_empty() {
            Err("no letters")
        } else {
            Ok(word.chars().count())
        }
    };
    Ok(words.iter().map(count).collect())
}
