//! A circuit for each key.

use std::time::Duration;

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
    assert_eq!(state(&circuits.circuit(&"down".into())), State::Open);
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
async fn there_are_never_more_keys_than_the_maximum_and_never_fewer_than_can_be() {
    for max_keys in [1, 2, 3, 10, 101] {
        let circuits = circuits(max_keys);
        for key in 0..1_000 {
            let _ = circuits.circuit(&key.to_string());
            assert_eq!(circuits.len(), max_keys.min(key + 1));
        }
    }
}

/// In turn, as a client that goes round its hosts asks for them.
#[tokio::test(start_paused = true)]
async fn no_key_is_forgotten_while_there_is_room_for_all() {
    for max_keys in [1, 4, 10, 1_000] {
        let circuits = circuits(max_keys);
        for _ in 0..3 {
            for key in 0..max_keys {
                let circuit = circuits.circuit(&key.to_string());
                if let Ok(permit) = circuit.admit() {
                    permit.settle(Verdict::failure());
                }
            }
        }
        for (key, circuit) in circuits.list() {
            assert_eq!(circuit.snapshot().refused, 2, "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_stays_though_many_others_come() {
    let circuits = circuits(3);
    fail(&circuits.circuit(&"down".into()), 1);
    for key in 0..1_000 {
        let _ = circuits.circuit(&key.to_string());
        let _ = circuits.circuit(&(key + 1).to_string());
        circuits.circuit(&"down".into()).admit().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_when_it_was_idle_and_not_before() {
    let circuits = circuits(10);
    let _ = circuits.circuit(&"idle".into());
    for _ in 0..10 {
        wait(seconds(99)).await;
        let _ = circuits.circuit(&"used".into());
    }
    let _ = circuits.circuit(&"other".into());
    assert!(circuits.get("idle").is_none());
    assert!(circuits.get("used").is_some());
    wait(seconds(100)).await;
    let _ = circuits.circuit(&"another".into());
    assert_eq!(circuits.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_is_forgotten_though_no_new_key_comes() {
    let circuits = circuits(10);
    let _ = circuits.circuit(&"idle".into());
    let _ = circuits.circuit(&"used".into());
    wait(seconds(99)).await;
    let _ = circuits.circuit(&"used".into());
    assert_eq!(circuits.len(), 2);
    wait(seconds(1)).await;
    let _ = circuits.circuit(&"used".into());
    assert_eq!(circuits.len(), 1);
    // Nor the last one, by its own use.
    wait(seconds(1_000)).await;
    let circuit = circuits.circuit(&"used".into());
    circuit.force_open();
    assert_eq!(state(&circuits.circuit(&"used".into())), State::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn keys_can_be_kept_for_as_long_as_there_is_room() {
    let limits = KeyLimits::new(2, Duration::MAX).unwrap();
    let circuits = Circuits::new(consecutive(1), limits);
    for key in ["one", "other", "other"] {
        let _ = circuits.circuit(&key);
        wait(seconds(1_000_000)).await;
    }
    assert_eq!(circuits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_circuit_that_is_open_or_told_what_to_be_is_not_forgotten() {
    let circuits = circuits(10);
    fail(&circuits.circuit(&"down".into()), 1);
    circuits.circuit(&"forced".into()).force_open();
    circuits.circuit(&"disabled".into()).disable();
    for _ in 0..10 {
        wait(seconds(1_000)).await;
        let _ = circuits.circuit(&"other".into());
    }
    assert_eq!(circuits.get("forced").unwrap().state(), State::ForcedOpen);
    assert_eq!(circuits.get("disabled").unwrap().state(), State::Disabled);
    assert_eq!(circuits.get("down").unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn each_key_can_have_a_name_of_its_own() {
    let limits = KeyLimits::new(10, seconds(100)).unwrap();
    let circuits = Circuits::named(consecutive(1), limits, |host: &String| {
        format!("of {host}").into()
    });
    fail(&circuits.circuit(&"down".into()), 1);
    let open = circuits.circuit(&"down".into()).admit().unwrap_err();
    assert_eq!(open.name(), Some("of down"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_at_its_deadline_is_a_failure_of_its_key() {
    let circuits = circuits(10);
    let layer = KeyedCircuitBreakerLayer::new(circuits.clone(), |key: &u32| key.to_string())
        .with_deadline(|_: &u32| Some(tokio::time::Instant::now() + seconds(1)));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |_: u32| -> crate::Answer { std::future::pending().await });
    tokio::time::timeout(seconds(1), service.oneshot(7))
        .await
        .unwrap_err();
    assert_eq!(circuits.get("7").unwrap().state(), State::Open);
}

/// It would never come back if a key or a circuit were dropped under the lock.
#[tokio::test(start_paused = true)]
async fn a_key_may_use_the_circuits_as_it_is_dropped() {
    #[derive(Clone)]
    struct Key(u32, Circuits<Self>);

    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Eq for Key {}

    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
            self.0.hash(hasher);
        }
    }

    impl Drop for Key {
        fn drop(&mut self) {
            let _ = self.1.len();
        }
    }

    let limits = KeyLimits::new(2, seconds(100)).unwrap();
    let circuits = Circuits::new(consecutive(1), limits);
    for number in [1, 1, 2, 3, 3, 4] {
        let _ = circuits.circuit(&Key(number, circuits.clone()));
    }
    assert_eq!(circuits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_forgotten_circuit_reaches_no_other() {
    let circuits = circuits(2);
    let old = circuits.circuit(&"key".into());
    let permit = old.admit().unwrap();
    for key in 0..10 {
        let _ = circuits.circuit(&key.to_string());
    }
    permit.settle(Verdict::failure());
    assert_eq!(state(&old), State::Open);
    assert_eq!(state(&circuits.circuit(&"key".into())), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_probe_back() {
    let circuits = circuits(10);
    let layer = KeyedCircuitBreakerLayer::new(circuits.clone(), |key: &u32| key.to_string());
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |_: u32| -> crate::Answer { std::future::pending().await });
    let circuit = circuits.circuit(&"7".into());
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
