//! Readiness while the circuit is open.

use mainstay_circuit_breaker::{CircuitBreakerLayer, Classify, Reason, State, Verdict};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower_test::{assert_request_eq, mock};

use crate::{consecutive, fail, half_open, open_of, seconds, state, wait};

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_though_the_inner_service_is_pending() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    handle.allow(0);
    fail(&circuit, 1);
    for _ in 0..3 {
        assert_ready_ok!(service.poll_ready());
        open_of(service.call(()).await);
    }
    assert_eq!(circuit.snapshot().refused, 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_of_the_present_state_and_time() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    for passed in 0..10 {
        assert_ready_ok!(service.poll_ready());
        let open = open_of(service.call(()).await);
        assert_eq!(open.retry_after(), Some(seconds(10 - passed)));
        wait(seconds(1)).await;
    }
    fail(&circuit, 1);
    assert_ready_ok!(service.poll_ready());
    assert_eq!(
        open_of(service.call(()).await).reason(),
        Reason::ProbesFailed
    );
    circuit.force_open();
    assert_ready_ok!(service.poll_ready());
    assert_eq!(open_of(service.call(()).await).reason(), Reason::Forced);
}

#[tokio::test(start_paused = true)]
async fn the_circuit_has_the_last_word_when_the_call_is_made() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    assert_ready_ok!(service.poll_ready());
    fail(&circuit, 1);
    open_of(service.call(()).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_and_idle_holds_no_probe() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    wait(seconds(10)).await;
    assert_ready_ok!(service.poll_ready());
    circuit.admit().expect("the probe").settle(Verdict::Success);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_readiness_counts() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    handle.send_error("gone");
    assert_ready_err!(service.poll_ready());
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_readiness_fails_a_probe() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    wait(seconds(10)).await;
    handle.send_error("gone");
    assert_ready_err!(service.poll_ready());
    assert_eq!(circuit.snapshot().openings, 2);
    assert_eq!(circuit.snapshot().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_readiness_is_classified() {
    let layer = CircuitBreakerLayer::new(consecutive(1)).with_classify(NothingCounts);
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    handle.send_error("gone");
    assert_ready_err!(service.poll_ready());
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn pending_while_open_until_the_open_time_is_over() {
    let layer = CircuitBreakerLayer::new(consecutive(1)).pending_while_open();
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    assert_pending!(service.poll_ready());
    wait(seconds(9)).await;
    assert_pending!(service.poll_ready());
    assert!(!service.is_woken());
    wait(seconds(1)).await;
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(()));
    assert_request_eq!(handle, ()).send_response("hello");
    assert_ready_ok!(response.poll());
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn pending_while_the_probes_are_out() {
    let rules = consecutive(1).with_half_open(half_open(2, 1));
    let layer = CircuitBreakerLayer::new(rules).pending_while_open();
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let probe = circuit.admit().unwrap();
    let other = circuit.admit().unwrap();
    assert_pending!(service.poll_ready());

    // One that is given back makes room.
    drop(probe);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    let probe = circuit.admit().unwrap();
    assert_pending!(service.poll_ready());
    // And so does one that closes the circuit.
    other.settle(Verdict::Success);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    drop(probe);
}

#[tokio::test(start_paused = true)]
#[should_panic = "poll_ready must be called first"]
async fn what_was_ready_before_is_not_while_it_is_pending() {
    let layer = CircuitBreakerLayer::new(consecutive(1)).pending_while_open();
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    assert_ready_ok!(service.poll_ready());
    circuit.force_open();
    assert_pending!(service.poll_ready());
    drop(service.call(()));
}

#[tokio::test(start_paused = true)]
async fn pending_until_a_hung_probe_is_written_off_and_the_circuit_was_open_again() {
    let half_open = half_open(1, 1).with_max_wait(seconds(3)).unwrap();
    let layer = CircuitBreakerLayer::new(consecutive(1).with_half_open(half_open));
    let layer = layer.pending_while_open();
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let _hung = circuit.admit().unwrap();
    assert_pending!(service.poll_ready());
    wait(seconds(3)).await;
    assert_pending!(service.poll_ready());
    wait(seconds(20)).await;
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_pending_is_woken_by_a_reset_at_once() {
    let layer = CircuitBreakerLayer::new(consecutive(1)).pending_while_open();
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);
    circuit.force_open();
    assert_pending!(service.poll_ready());
    wait(seconds(1_000)).await;
    assert_pending!(service.poll_ready());
    circuit.reset();
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[derive(Clone)]
struct NothingCounts;

impl<T, E> Classify<T, E> for NothingCounts {
    fn classify(&self, _: &Result<T, E>) -> Verdict {
        Verdict::Ignore
    }
}
