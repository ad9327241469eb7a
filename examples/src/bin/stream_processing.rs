//! Works on the items of a stream, stage by stage: `stream_processing 1 2 3` doubles, and keeps what can
//! be divided by four.
//!
//! The Python original worked on one item at a time, ended the stream at the first bad item, and did not
//! close its source when the reader stopped early. Here several items are worked on at once, in order, an
//! item that fails passes through as an error, and no more is pulled from the source than there is room for.

use std::num::ParseIntError;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use mainstay_batch::{Concurrency, Stages, map_stream};
use mainstay_examples::program::{self, BoxError, with_causes};
use tokio::time::sleep;
use tokio_stream::StreamExt;

/// Doubles the items of a stream, and prints those that can be divided by four.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many items a stage works on at once.
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
    /// Stops reading after so many results.
    #[arg(long)]
    take: Option<usize>,
    /// The items of the stream.
    #[arg(required = true)]
    items: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let concurrency = Concurrency::new(arguments.concurrency)?;
    let pulled = AtomicUsize::new(0);
    let source = tokio_stream::iter(arguments.items).map(|item| {
        pulled.fetch_add(1, Relaxed);
        item
    });
    let results = map_stream(source, concurrency, parse)
        .transform(concurrency, double)
        .keep_if(|number| number % 4 == 0)
        .take(arguments.take.unwrap_or(usize::MAX));

    let mut results = pin!(results);
    let mut failed = 0;
    while let Some(result) = results.next().await {
        match result {
            Ok(number) => println!("{number}"),
            Err(error) => {
                failed += 1;
                println!("{}", with_causes(&error));
            }
        }
    }
    println!("pulled: {}", pulled.load(Relaxed));
    match failed {
        0 => Ok(()),
        failed => Err(format!("items that failed: {failed}").into()),
    }
}

async fn parse(item: String) -> Result<u32, ParseIntError> {
    item.parse()
}

/// What takes a while, the longer the smaller the number: the order stays that of the source.
async fn double(number: u32) -> Result<u32, ParseIntError> {
    sleep(Duration::from_millis(20 / u64::from(number.max(1)))).await;
    Ok(number * 2)
}
