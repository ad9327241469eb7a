//! What a user of the crate sees.

mod changes;
mod closing;
mod contract;
mod dropped;
mod keyed;
mod late;
mod manual;
mod opening;
mod readiness;
mod reference;
mod refusal;
mod stress;
mod values;

use std::{convert::Infallible, time::Duration};

use mainstay_circuit_breaker::{
    BoxError, Circuit, ConsecutiveFailures, HalfOpen, Open, OpenTime, Rules, State, Verdict,
};

/// Opens at the `limit`-th failure in a row, for 10 s, then 20 s, up to 60 s.
fn consecutive(limit: u32) -> Rules {
    Rules::new(ConsecutiveFailures::new(limit).unwrap()).with_open_time(open_time())
}

/// Without jitter.
fn open_time() -> OpenTime {
    let time = OpenTime::new(seconds(10), seconds(60)).unwrap();
    time.with_jitter(0.0).unwrap()
}

fn half_open(probes: u32, successes: u32) -> HalfOpen {
    HalfOpen::new(probes, successes).unwrap()
}

/// Makes a call that ends at once.
#[track_caller]
fn call(circuit: &Circuit, verdict: Verdict) {
    circuit.admit().expect("admitted").settle(verdict);
}

#[track_caller]
fn succeed(circuit: &Circuit, times: u32) {
    for _ in 0..times {
        call(circuit, Verdict::Success);
    }
}

#[track_caller]
fn fail(circuit: &Circuit, times: u32) {
    for _ in 0..times {
        call(circuit, Verdict::failure());
    }
}

fn state(circuit: &Circuit) -> State {
    circuit.snapshot().state
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn wait(time: Duration) {
    tokio::time::advance(time).await;
}

#[track_caller]
fn open_of<T: std::fmt::Debug>(result: Result<T, BoxError>) -> Open {
    let error = result.unwrap_err();
    *error.downcast::<Open>().expect("a refusal of the circuit")
}

type Answer = Result<&'static str, Infallible>;
