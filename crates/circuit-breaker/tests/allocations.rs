//! What a call allocates: nothing, unless it is refused.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use mainstay_circuit_breaker::{
    Circuit, CircuitBreakerLayer, Circuits, ConsecutiveFailures, FailureRate, KeyLimits,
    KeyedCircuitBreakerLayer, Rules, SlowCallRate, Verdict, Window,
};
use tower::{Layer, Service};

#[test]
fn an_admitted_call_allocates_nothing() {
    let last_calls = Window::last_calls(100, 10).unwrap();
    let last_time = Window::last_time(Duration::from_secs(10), 10).unwrap();
    let slow = SlowCallRate::new(0.5, Duration::from_secs(60), last_time).unwrap();
    for rules in [
        Rules::new(ConsecutiveFailures::new(5).unwrap()),
        Rules::new(FailureRate::new(0.5, last_calls).unwrap()),
        Rules::new(FailureRate::new(0.5, last_time).unwrap()),
        Rules::new(slow),
    ] {
        let mut service = CircuitBreakerLayer::new(rules.clone()).layer(Hello);
        // A thread's first call may set something up for it.
        call(&mut service);
        let allocated = measure(|| {
            for _ in 0..1_000 {
                call(&mut service);
            }
        });
        assert_eq!(allocated.count_total, 0, "{rules:?}");
    }
}

/// Neither memory nor, with it, time grows with the calls in the window.
#[test]
fn a_window_of_time_holds_no_more_however_many_calls_come() {
    let minute = Window::last_time(Duration::from_secs(60), 10).unwrap();
    let circuit = Circuit::new(Rules::new(FailureRate::new(1.0, minute).unwrap()));
    let calls = |number: u32| {
        for call in 0..number {
            let is_good = call % 20 != 0;
            let permit = circuit.admit().unwrap();
            permit.settle(if is_good {
                Verdict::Success
            } else {
                Verdict::failure()
            });
        }
    };
    calls(20);
    assert_eq!(measure(|| calls(100_000)).count_total, 0);
    assert_eq!(circuit.snapshot().rules[0].calls, 100_020);
}

#[test]
fn a_refused_call_allocates_its_refusal() {
    let rules = Rules::new(ConsecutiveFailures::new(1).unwrap()).with_name("hello");
    let circuit = Circuit::new(rules);
    circuit.force_open();
    let mut service = CircuitBreakerLayer::new(circuit).layer(Hello);
    let AllocationInfo {
        count_total,
        count_current,
        ..
    } = measure(|| {
        for _ in 0..1_000 {
            call(&mut service);
        }
    });
    assert_eq!((count_total, count_current), (1_000, 0));
}

/// Such a refusal falls in `call`, and is made elsewhere.
#[test]
fn a_refusal_of_a_service_that_was_ready_is_allocated_once_too() {
    let rules = Rules::new(ConsecutiveFailures::new(1).unwrap());
    let circuit = Circuit::new(rules.clone());
    let mut service = CircuitBreakerLayer::new(circuit.clone()).layer(Hello);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    circuit.force_open();
    let allocated = measure(|| drop(service.call(())));
    assert_eq!((allocated.count_total, allocated.count_current), (1, 0));

    let limits = KeyLimits::new(10, Duration::from_secs(60)).unwrap();
    let circuits = Circuits::new(rules, limits);
    circuits.circuit(&7).force_open();
    let mut service = KeyedCircuitBreakerLayer::new(circuits, |(): &()| 7).layer(Hello);
    let allocated = measure(|| call(&mut service));
    assert_eq!((allocated.count_total, allocated.count_current), (1, 0));
}

fn call<S>(service: &mut S)
where
    S: Service<(), Response = &'static str, Future: Unpin>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut response = std::pin::pin!(service.call(()));
    assert!(response.as_mut().poll(&mut cx).is_ready());
}

#[derive(Clone)]
struct Hello;

impl Service<()> for Hello {
    type Response = &'static str;
    type Error = Infallible;
    type Future = Ready<Result<&'static str, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok("hello"))
    }
}
