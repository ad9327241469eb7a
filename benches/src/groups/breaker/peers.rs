//! The peers' rows. Where a peer has several rules we take the ones that we have too.

use std::{sync::Arc, time::Duration};

use failsafe::{
    Config, FailurePolicy, StateMachine, backoff,
    failure_policy::{consecutive_failures, success_rate_over_time_window},
    futures::CircuitBreaker as _,
};
use layered::{Layer as _, Service as _};
use recloser::{AsyncRecloser, Recloser};
use seatbelt::{RecoveryInfo, ResilienceContext, breaker::Breaker};
use tick::Clock;
use tower_resilience_circuitbreaker::{CircuitBreaker, CircuitBreakerLayer, DefaultClassifier};
use tower_service::Service as _;

use super::{FAILURES, OPEN_FOR, trip};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Peer, Row},
    work::Driver,
};

/// Never reached by one call in twenty.
const RATE: f32 = 0.5;

/// Of calls.
const WINDOW: usize = 100;

pub(super) fn closed<const ONE_IN: u64>() -> Vec<Row> {
    vec![
        Row::service("tower-resilience, consecutive", Peer, || {
            resilience::<ONE_IN>(Rule::Consecutive)
        }),
        Row::service("tower-resilience, count window", Peer, || {
            resilience::<ONE_IN>(Rule::CountWindow)
        }),
        Row::function("recloser", Peer, || {
            let recloser = AsyncRecloser::from(recloser());
            move |request| recloser.call(Backend::<ONE_IN>.call(request))
        }),
        Row::driven("recloser, not async", Peer, || {
            let recloser = Arc::new(recloser());
            move |request, _: &mut Driver<'_>| recloser.call(|| Backend::<ONE_IN>.answer(request))
        }),
        Row::function("failsafe, consecutive", Peer, || {
            let circuit = failsafe_consecutive();
            move |request| circuit.call(Backend::<ONE_IN>.call(request))
        }),
        Row::function("failsafe, rate window", Peer, || {
            let circuit = failsafe_rate();
            move |request| circuit.call(Backend::<ONE_IN>.call(request))
        }),
        Row::driven("seatbelt", Peer, || {
            let service = Arc::new(seatbelt::<ONE_IN>());
            move |request, driver| driver.run(service.execute(request))
        }),
        Row::service("seatbelt, as tower service", Peer, seatbelt::<ONE_IN>),
    ]
}

pub(super) fn open() -> Vec<Row> {
    vec![
        Row::service("tower-resilience, consecutive", Peer, || {
            let mut service = resilience::<1>(Rule::Consecutive);
            trip(
                |request, driver| driver.run(service.call(request)),
                |error| error.is_circuit_open(),
            );
            service
        }),
        Row::function("recloser", Peer, || {
            let recloser = AsyncRecloser::from(recloser());
            let call = move |request| recloser.call(Backend::<1>.call(request));
            trip(
                |request, driver| driver.run(call(request)),
                |error| matches!(error, recloser::Error::Rejected),
            );
            call
        }),
        Row::driven("recloser, not async", Peer, || {
            let recloser = Arc::new(recloser());
            let call =
                move |request, _: &mut Driver<'_>| recloser.call(|| Backend::<1>.answer(request));
            trip(&call, |error| matches!(error, recloser::Error::Rejected));
            call
        }),
        Row::function("failsafe, consecutive", Peer, || {
            let circuit = failsafe_consecutive();
            let call = move |request| circuit.call(Backend::<1>.call(request));
            trip(
                |request, driver| driver.run(call(request)),
                |error| matches!(error, failsafe::Error::Rejected),
            );
            call
        }),
        Row::driven("seatbelt", Peer, || {
            let service = Arc::new(seatbelt::<1>());
            let call = move |request, driver: &mut Driver<'_>| driver.run(service.execute(request));
            trip(&call, |error| *error == REFUSED);
            call
        }),
    ]
}

#[derive(Clone, Copy)]
enum Rule {
    Consecutive,
    CountWindow,
}

fn resilience<const ONE_IN: u64>(rule: Rule) -> CircuitBreaker<Backend<ONE_IN>, DefaultClassifier> {
    let builder = CircuitBreakerLayer::builder().wait_duration_in_open(OPEN_FOR);
    let builder = match rule {
        Rule::Consecutive => builder.consecutive_failures(FAILURES),
        Rule::CountWindow => builder
            .failure_rate_threshold(f64::from(RATE))
            .sliding_window_size(WINDOW),
    };
    builder.build().expect("valid").layer(Backend)
}

fn recloser() -> Recloser {
    Recloser::custom()
        .error_rate(RATE)
        .closed_len(WINDOW)
        .open_wait(OPEN_FOR)
        .build()
}

fn failsafe_consecutive() -> StateMachine<impl FailurePolicy, ()> {
    let policy = consecutive_failures(FAILURES as u32, backoff::constant(OPEN_FOR));
    Config::new().failure_policy(policy).build()
}

fn failsafe_rate() -> StateMachine<impl FailurePolicy, ()> {
    let rate = f64::from(1.0 - RATE);
    let window = Duration::from_secs(10);
    let backoff = backoff::constant(OPEN_FOR);
    let policy = success_rate_over_time_window(rate, WINDOW as u32, window, backoff);
    Config::new().failure_policy(policy).build()
}

const REFUSED: Failed = Failed(u64::MAX);

fn seatbelt<const ONE_IN: u64>() -> Breaker<u64, Result<u64, Failed>, Backend<ONE_IN>> {
    // Its time stands on ours, for there is no other outside a runtime.
    let context = ResilienceContext::new(Clock::new_tokio());
    Breaker::layer("bench", &context)
        .recovery_with(|answer: &Result<u64, Failed>, _| match answer {
            Ok(_) => RecoveryInfo::never(),
            Err(_) => RecoveryInfo::retry(),
        })
        .rejected_input_error(|_, _| REFUSED)
        .failure_threshold(RATE)
        .min_throughput(WINDOW as u32)
        .sampling_duration(Duration::from_secs(10))
        .break_duration(OPEN_FOR)
        .layer(Backend)
}
