//! A stack made by hand, around a client of hyper: `stack_by_hand alice alice --failures 2` asks a server of
//! axum that is unavailable at first.
//!
//! From the outside in: what is known is answered from the cache, a call and its retries have a second, what
//! failed is tried again unless the circuit is open, and each attempt has a time of its own.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use clap::Parser;
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use mainstay_circuit_breaker::{CircuitBreakerLayer, ConsecutiveFailures, Open, Rules};
use mainstay_examples::greeter::Greeter;
use mainstay_examples::program::{self, BoxError};
use mainstay_retry_backoff::{Outcome, Plan, RetryLayer};
use mainstay_ttl_cache::{CacheLayer, Limits, Ttl, TtlCache};
use tower::{Service, ServiceBuilder, ServiceExt};

/// Asks a server for greetings, one after the other.
#[derive(Debug, Parser)]
struct Arguments {
    /// To how many requests it answers that it is unavailable.
    #[arg(long, default_value_t = 0)]
    failures: u32,
    /// Who is to be greeted.
    #[arg(required = true)]
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let server = Greeter::start(arguments.failures).await?;
    let address = server.address();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let cache = TtlCache::named(
        "greetings",
        Limits::new(1_000)?,
        Ttl::new(Duration::from_secs(60))?,
    );
    let rules = Rules::new(ConsecutiveFailures::new(5)?).with_name("greeter");
    let mut greetings = ServiceBuilder::new()
        .layer(CacheLayer::new(cache, |name: &String| {
            Some(Cow::Borrowed(name.as_str()))
        }))
        .timeout(Duration::from_secs(1))
        .layer(RetryLayer::new(Plan::default(), judge))
        .layer(CircuitBreakerLayer::new(rules))
        .timeout(Duration::from_millis(500))
        .service_fn(move |name| get_greeting(client.clone(), address, name));

    let mut result = Ok(());
    for name in arguments.names {
        match greetings.ready().await?.call(name.clone()).await {
            Ok(greeting) => println!("{greeting}"),
            Err(error) => {
                println!("{name} was not greeted");
                result = Err(error);
            }
        }
    }
    println!("requests: {}", server.requests());
    result
}

/// Anything but success is an error, so that the layers take it for one.
async fn get_greeting(
    client: Client<HttpConnector, Body>,
    server: SocketAddr,
    name: String,
) -> Result<String, BoxError> {
    let request = Request::get(format!("http://{server}/{name}")).body(Body::empty())?;
    let answer = client.request(request).await?;
    if !answer.status().is_success() {
        return Err(format!("the server says {}", answer.status()).into());
    }
    let greeting = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(greeting.into())?)
}

/// A refusal of the circuit is not tried again: the service was not asked.
fn judge(result: &Result<String, BoxError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if error.is::<Open>() => Outcome::Fatal,
        Err(_) => Outcome::transient(),
    }
}
