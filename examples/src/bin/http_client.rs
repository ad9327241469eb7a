//! Asks servers for JSON over connections that are kept: `http_client get:http://127.0.0.1:8080/users/1`.
//!
//! The Python original failed with an `AttributeError` before it was started, took an answer of 500 for data,
//! and did not wait for what was in flight when it was stopped. Here a client needs no start, a status can be
//! an error with what the server said, all connections are bounded and lent fairly, and the end waits.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay::http::{Client, Http, Response};
use mainstay_batch::{Concurrency, map_concurrent};
use mainstay_examples::program::{self, BoxError, print_each};
use serde_json::Value;

/// Sends requests, and prints what is answered.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many milliseconds a request may take in all.
    #[arg(long, default_value_t = 30_000)]
    total_time: u64,
    /// How many are sent at a time.
    #[arg(long, default_value_t = 10)]
    concurrency: usize,
    /// get:URL, or post:JSON@URL.
    #[arg(required = true)]
    requests: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let total_time = Duration::from_millis(arguments.total_time);
    let client = Http::new().with_total_time(total_time)?.client();
    let concurrency = Concurrency::new(arguments.concurrency)?;
    let answers = map_concurrent(&arguments.requests, concurrency, |it| ask(&client, it))
        .collect()
        .await;
    let printed = print_each(&arguments.requests, answers);
    println!("connections made: {}", client.snapshot().created);
    client.close(Duration::from_secs(5)).await?;
    printed
}

async fn ask(client: &Client, request: &str) -> Result<Value, BoxError> {
    let answer: Response = match request.split_once(':') {
        Some(("get", url)) => client.get(url).send().await?,
        Some(("post", it)) => {
            let (json, url) = it.split_once('@').ok_or("expected post:JSON@URL")?;
            let json: Value = serde_json::from_str(json)?;
            client.post(url).json(&json).send().await?
        }
        _ => return Err("expected get:URL or post:JSON@URL".into()),
    };
    Ok(answer.error_for_status().await?.json().await?)
}
