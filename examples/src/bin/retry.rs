//! Calls again what failed, at the right time: `retry --failures 2` succeeds with the third attempt.
//!
//! The Python original retried errors that no attempt can mend, returned None when it was given no
//! retries, raised an overflow when it was given many, and had all its clients come back at the same
//! instants. Here the policy says which failures may pass, the delays are drawn at random, and a budget
//! which all calls share keeps retries from making an outage worse.

use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use mainstay_examples::program::{self, BoxError};
use mainstay_retry_backoff::{ExponentialBackoff, Outcome, Plan, RetryLayer};
use tower::{ServiceBuilder, ServiceExt};

/// Calls a service that fails a few times.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often it fails before it answers.
    #[arg(long, default_value_t = 2)]
    failures: u32,
    /// It fails in a way that no attempt will mend.
    #[arg(long)]
    lasting: bool,
    /// How often it is called at most, the first time included.
    #[arg(long, default_value = "3")]
    attempts: NonZeroU32,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let backoff = ExponentialBackoff::new(Duration::from_millis(5), Duration::from_millis(50))?;
    let plan = Plan::new(arguments.attempts).with_backoff(backoff);
    let may_pass = |result: &Result<String, Failure>| match result {
        Ok(_) => Outcome::Success,
        Err(Failure::Reset) => Outcome::transient(),
        Err(Failure::NotFound) => Outcome::Fatal,
    };

    let calls = AtomicU32::new(0);
    let greeter = ServiceBuilder::new()
        .layer(RetryLayer::new(plan, may_pass))
        .service_fn(async |name: &str| match calls.fetch_add(1, Relaxed) {
            call if call >= arguments.failures => Ok(format!("hello {name}")),
            _ if arguments.lasting => Err(Failure::NotFound),
            _ => Err(Failure::Reset),
        });

    let answer = greeter.oneshot("world").await;
    println!("attempts: {}", calls.load(Relaxed));
    println!("{}", answer?);
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Reset,
    NotFound,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connection reset",
            Self::NotFound => "not found",
        })
    }
}

impl Error for Failure {}
