//! Those who wait for a circuit while it moves. Who misses the move waits for ever, which loom reports as
//! a deadlock.

use std::{
    convert::Infallible,
    future::{self, Ready, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use loom::{future::block_on, thread};
use tokio_test::{assert_pending, assert_ready, task};
use tower_service::Service;

use crate::{
    Circuit, CircuitBreaker, ErrorsFail, HalfOpen, NoDeadline, OpenTime, Rules, SlowCallRate,
    State, Verdict, Window, check, event, service::WhileOpen,
};

#[test]
fn a_service_that_is_pending_while_open_sees_the_reset() {
    check(|| {
        let circuit = circuit();
        circuit.force_open();
        let mut service = service(&circuit);
        let other = thread::spawn(move || circuit.reset());
        block_on(poll_fn(|cx| service.poll_ready(cx))).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_service_that_is_pending_while_half_open_sees_that_the_probe_is_given_back() {
    check(|| {
        let circuit = circuit();
        circuit.admit().unwrap().settle(Verdict::failure());
        let probe = circuit.admit().unwrap();
        let mut service = service(&circuit);
        let other = thread::spawn(move || drop(probe));
        block_on(poll_fn(|cx| service.poll_ready(cx))).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn who_follows_sees_each_change() {
    check(|| {
        let circuit = circuit();
        let mut changes = circuit.changes();
        let other = thread::spawn(move || {
            circuit.force_open();
            circuit.reset();
            circuit
        });
        for to in [State::ForcedOpen, State::Closed] {
            assert_eq!(block_on(changes.next()).unwrap().to, to);
        }
        other.join().unwrap();
    });
}

#[test]
fn the_log_is_told_of_each_change_in_its_order() {
    check(|| {
        let circuit = circuit();
        let mut changes = circuit.changes();
        let other = thread::spawn({
            let circuit = circuit.clone();
            move || circuit.force_open()
        });
        circuit.disable();
        circuit.reset();
        other.join().unwrap();
        for to in event::told() {
            let change = assert_ready!(task::spawn(changes.next()).poll());
            assert_eq!(change.unwrap().to, to);
        }
        assert_pending!(task::spawn(changes.next()).poll());
    });
}

#[test]
fn who_follows_sees_the_end() {
    check(|| {
        let circuit = circuit();
        let mut changes = circuit.changes();
        let other = thread::spawn(move || drop(circuit));
        assert_eq!(block_on(changes.next()), None);
        other.join().unwrap();
    });
}

struct Always;

impl Service<()> for Always {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        future::ready(Ok(()))
    }
}

fn service(circuit: &Circuit) -> CircuitBreaker<Always> {
    let circuit = circuit.clone();
    CircuitBreaker::new(Always, circuit, ErrorsFail, NoDeadline, WhileOpen::Pend)
}

/// One failure opens it, for a nanosecond; its probe may be out for ever.
fn circuit() -> Circuit {
    // No two are of a shape, or one would be used again that is of an earlier run of the model.
    static MADE: AtomicU64 = AtomicU64::new(1);
    let slow_from = Duration::from_nanos(MADE.fetch_add(1, Ordering::Relaxed));
    let hour = Duration::from_secs(60 * 60);
    let slow = SlowCallRate::new(1.0, hour + slow_from, Window::last_calls(1, 1).unwrap());
    let nanosecond = Duration::from_nanos(1);
    let half_open = HalfOpen::new(1, 1).unwrap();
    let rules = Rules::new(slow.unwrap())
        .or(crate::ConsecutiveFailures::new(1).unwrap())
        .with_open_time(OpenTime::new(nanosecond, nanosecond).unwrap())
        .with_half_open(half_open.with_max_wait(Duration::MAX).unwrap());
    Circuit::small(Arc::new(rules))
}
