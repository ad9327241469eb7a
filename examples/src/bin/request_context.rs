//! Knows at any depth for which request it works: `request_context one two` handles two requests at once.
//!
//! The `with_context` of the Python original is a TypeError as soon as it is used, and its variables were
//! never reset, so that the next request of a task had the id of the one before. Here the context is
//! current exactly while the work of its request runs, spawned tasks have it when they are given it, and
//! what is called meanwhile is told the id and the time that is left.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http::Request;
use mainstay_batch::{Concurrency, map_concurrent};
use mainstay_examples::program::{self, BoxError};
use mainstay_request_context::{
    ClientContextLayer, InFlight, RequestContext, ServerContextLayer, remaining,
};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt};

/// Handles requests, all at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many milliseconds each caller waits.
    #[arg(long, default_value_t = 10_000)]
    timeout: u32,
    /// How many milliseconds each request takes.
    #[arg(long, default_value_t = 5)]
    work: u64,
    /// Their ids. What cannot be one is replaced.
    #[arg(required = true)]
    ids: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let work = Duration::from_millis(arguments.work);
    let in_flight = InFlight::new();
    let server = ServiceBuilder::new()
        .layer(ServerContextLayer::new().with_in_flight(in_flight.clone()))
        .service_fn(async |_: Request<()>| handle(work).await);

    let all = Concurrency::new(arguments.ids.len())?;
    let answers = map_concurrent(&arguments.ids, all, |id| {
        let request = Request::builder()
            .header("x-request-id", id)
            .header("grpc-timeout", format!("{}m", arguments.timeout))
            .body(());
        let server = server.clone();
        async { server.oneshot(request?).await }
    });
    let done = program::print_each(&arguments.ids, answers.collect().await);
    println!("in flight: {}", in_flight.len());
    done
}

/// Nothing is handed on to what it calls.
async fn handle(work: Duration) -> Result<String, BoxError> {
    sleep(work).await;
    if remaining().is_some_and(|left| left.is_zero()) {
        return Err("its caller waits no longer".into());
    }
    let spawned = mainstay_request_context::spawn(async { current_id() });
    let spawned_without = tokio::spawn(async { current_id() });
    let in_the_backend = ServiceBuilder::new()
        .layer(ClientContextLayer::new())
        .service_fn(backend)
        .oneshot(Request::new(()))
        .await?;
    Ok(format!(
        "here {}, in a task {}, in one that was not given it {}, in the backend {}",
        current_id(),
        spawned.await?,
        spawned_without.await?,
        in_the_backend,
    ))
}

fn current_id() -> String {
    RequestContext::current().map_or_else(|| "none".into(), |context| context.id().to_string())
}

/// Answers with the id that it was sent, as if it were somewhere else.
async fn backend(request: Request<()>) -> Result<String, BoxError> {
    match request.headers().get("x-request-id") {
        Some(id) => Ok(id.to_str()?.into()),
        None => Ok("none".into()),
    }
}
