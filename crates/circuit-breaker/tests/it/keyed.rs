//! A circuit for each key.

use mainstay_circuit_breaker::{Circuits, KeyLimits, KeyedCircuitBreakerLayer, State, Verdict};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_test::{assert_request_eq, mock};

use crate::{consecutive, fail, open_of, seconds, state, wait};

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_does_not_open_the_circuit_of_another() {
    let circuits = circuits(10);
    let layer = KeyedCircuitBreakerLayer::new(circuits.clone(), |host: &&str| host.to_string());
    let service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |host| match host {
            "down" => Err("gone"),
            host => Ok(host),
        });
    let error = service.clone().oneshot("down").await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
    open_of(service.clone().oneshot("down").await);
    assert_eq!(service.clone().oneshot("up").await.unwrap(), "up");
    assert_eq!(state(&circuits.circuit("down".into())), State::Open);
    assert_eq!(circuits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn its_readiness_is_that_of_the_inner_service() {
    let layer = KeyedCircuitBreakerLayer::new(circuits(10), |key: &u32| key.to_string());
    let (mut service, mut handle) = mock::spawn_layer::<u32, &str, _>(layer);
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(7));
    assert_request_eq!(handle, 7).send_response("hello");
    assert_ready_ok!(response.poll());
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_keys_than_the_maximum() {
    for max_keys in [2, 3, 10, 101] {
        let circuits = circuits(max_keys);
        for key in 0..1_000 {
            fail(&circuits.circuit(key.to_string()), 1);
            assert!(circuits.len() <= max_keys);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_stays_though_many_others_come() {
    let circuits = circuits(10);
    fail(&circuits.circuit("down".into()), 1);
    for key in 0..1_000 {
        let _ = circuits.circuit(key.to_string());
        circuits.circuit("down".into()).admit().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_when_it_was_idle_and_not_before() {
    let circuits = circuits(10);
    fail(&circuits.circuit("down".into()), 1);
    for _ in 0..10 {
        wait(seconds(99)).await;
        let circuit = circuits.circuit("down".into());
        assert_eq!(circuit.snapshot().openings, 1, "kept while it is in use");
    }
    wait(seconds(200)).await;
    let _ = circuits.circuit("other".into());
    assert_eq!(circuits.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_forgotten_circuit_reaches_no_other() {
    let circuits = circuits(2);
    let old = circuits.circuit("key".into());
    let permit = old.admit().unwrap();
    for key in 0..10 {
        let _ = circuits.circuit(key.to_string());
    }
    permit.settle(Verdict::failure());
    assert_eq!(state(&old), State::Open);
    assert_eq!(state(&circuits.circuit("key".into())), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_probe_back() {
    let circuits = circuits(10);
    let layer = KeyedCircuitBreakerLayer::new(circuits.clone(), |key: &u32| key.to_string());
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |_: u32| -> crate::Answer { std::future::pending().await });
    let circuit = circuits.circuit("7".into());
    fail(&circuit, 1);
    wait(seconds(10)).await;
    service.ready().await.unwrap();
    let mut probe = task::spawn(service.call(7));
    assert_pending!(probe.poll());
    assert_eq!(circuit.snapshot().probes_out, 1);
    drop(probe);
    assert_eq!(circuit.snapshot().probes_out, 0);
}

fn circuits(max_keys: usize) -> Circuits<String> {
    let limits = KeyLimits::new(max_keys, seconds(100)).unwrap();
    Circuits::new(consecutive(1), limits)
}
