//! Answers from memory while the answer is fresh: `cache get:alice get:alice` loads one record for two
//! hundred callers.
//!
//! In the Python original a hundred callers of one key loaded it a hundred times, a value that was loaded
//! before an invalidation was stored after it, an empty key cleared everything, and nothing that had
//! expired was ever removed. Here there is one load for a key at a time, of which all who wait get the
//! outcome, an invalidation holds for what is being loaded, too, and the memory is bounded.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay_batch::{Concurrency, map_concurrent};
use mainstay_examples::program::{self, BoxError, with_causes};
use mainstay_ttl_cache::{Limits, LoadFailed, Ttl, TtlCache};
use tokio::time::sleep;

/// Has many callers ask a cache.
#[derive(Debug, Parser)]
struct Arguments {
    /// For how many milliseconds an answer is fresh.
    #[arg(long, default_value_t = 60_000)]
    fresh_for: u64,
    /// How many ask for a key at once.
    #[arg(long, default_value_t = 100)]
    callers: usize,
    /// get:KEY, forget:KEY (invalidates it), race:KEY (invalidates it while it is being loaded), or wait
    /// (until no answer is fresh). Nobody has the record of a key that begins with a dash.
    #[arg(required = true)]
    steps: Vec<String>,
}

type Records = TtlCache<String, String>;

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let fresh_for = Duration::from_millis(arguments.fresh_for);
    let cache = Records::named("records", Limits::new(1_000)?, Ttl::new(fresh_for)?);
    let callers = Concurrency::new(arguments.callers)?;
    let mut failed = None;
    for step in &arguments.steps {
        match step.split_once(':').unwrap_or((step, "")) {
            ("wait", "") => sleep(fresh_for).await,
            ("forget", key) => println!(
                "{step}: {}",
                if cache.invalidate(key) {
                    "gone"
                } else {
                    "not there"
                }
            ),
            ("race", key) => {
                let (record, _) = tokio::join!(get(&cache, key), async { cache.invalidate(key) });
                println!("{step}: {}, stored: {}", record?, cache.get(key).is_some());
            }
            ("get", key) => {
                let callers = map_concurrent(0..callers.get(), callers, |_| get(&cache, key));
                match callers.try_collect().await {
                    Ok(records) => println!("{step}: {} times {}", records.len(), records[0]),
                    Err(error) => {
                        println!("{step}: {}", with_causes(&error));
                        failed = Some(error);
                    }
                }
                let done = cache.snapshot();
                println!("loads: {}", done.loaded + done.failed);
            }
            _ => {
                return Err(
                    format!("expected get:KEY, forget:KEY, race:KEY or wait, not {step}").into(),
                );
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

async fn get(cache: &Records, key: &str) -> Result<String, LoadFailed> {
    // The load may be driven by another caller, so it has a key of its own.
    let owned = key.to_owned();
    cache.get_or_load(key, move || load(owned)).await
}

/// What takes a while.
async fn load(key: String) -> Result<String, String> {
    sleep(Duration::from_millis(5)).await;
    if key.starts_with('-') {
        return Err(format!("there is no record of {key}"));
    }
    Ok(format!("the record of {key}"))
}
