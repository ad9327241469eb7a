//! Stops calling a service that fails: `circuit_breaker fail fail fail ok wait burst` opens the circuit at
//! the third failure, refuses the fourth call, and lets a single one of ten through when it is time.
//!
//! The half-open circuit of the Python original let everybody through, could be left half-open for ever by
//! a call that was cancelled, took answers of calls from before it opened for good ones, and read a clock
//! that can be set back. Here a call decides only in the state that admitted it, and a probe that is
//! dropped is given back.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use mainstay_circuit_breaker::{
    Circuit, CircuitBreakerLayer, ConsecutiveFailures, Open, OpenTime, Rules, State,
};
use mainstay_examples::program::{self, BoxError};
use tokio::time::sleep;
use tower::{Service, ServiceBuilder, ServiceExt};

/// Makes calls through a circuit breaker.
#[derive(Debug, Parser)]
struct Arguments {
    /// After how many failures in a row the circuit opens.
    #[arg(long, default_value_t = 3)]
    limit: u32,
    /// For how many milliseconds it is open.
    #[arg(long, default_value_t = 50)]
    open_for: u64,
    /// What is done, one after the other.
    #[arg(required = true)]
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    /// A call that succeeds.
    Ok,
    /// A call that fails.
    Fail,
    /// Ten calls at once that succeed.
    Burst,
    /// Nothing, for as long as the circuit is open.
    Wait,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let open_for = Duration::from_millis(arguments.open_for);
    let open_time = OpenTime::new(open_for, open_for)?.with_jitter(0.0)?;
    let rules = Rules::new(ConsecutiveFailures::new(arguments.limit)?)
        .with_open_time(open_time)
        .with_name("backend");
    let circuit = Circuit::new(rules);
    let mut service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::new(circuit.clone()))
        .service_fn(backend);

    for step in arguments.steps {
        let mut calls = match step {
            Step::Wait => {
                sleep(open_for).await;
                continue;
            }
            Step::Burst => vec![Step::Ok; 10],
            call => vec![call],
        };
        // All are called before the first is answered.
        let mut answers = Vec::new();
        for call in calls.drain(..) {
            answers.push(service.ready().await?.call(call));
        }
        for answer in answers {
            match answer.await {
                Ok(answer) => println!("{answer}"),
                Err(error) if error.is::<Open>() => println!("refused"),
                Err(error) => println!("failed: {error}"),
            }
        }
    }
    match circuit.state() {
        State::Closed => Ok(()),
        state => Err(format!("the circuit of the backend is {state}").into()),
    }
}

async fn backend(call: Step) -> Result<&'static str, &'static str> {
    sleep(Duration::from_millis(1)).await;
    match call {
        Step::Fail => Err("connection refused"),
        _ => Ok("answered"),
    }
}
