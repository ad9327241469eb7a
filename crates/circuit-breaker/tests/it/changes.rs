//! Following a circuit's changes.

use mainstay_circuit_breaker::{Change, Circuit, CircuitBreakerLayer, Reason, State, Verdict};
use tokio_test::{assert_pending, assert_ready, task};

use crate::{consecutive, fail, seconds, state, succeed, wait};

#[tokio::test(start_paused = true)]
async fn every_change_is_seen_once_and_in_its_order() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    fail(&circuit, 1);
    wait(seconds(10)).await;
    fail(&circuit, 1);
    wait(seconds(20)).await;
    succeed(&circuit, 1);
    circuit.force_open();
    circuit.disable();
    circuit.reset();

    let mut seen = vec![State::Closed];
    for _ in 0..8 {
        let Change { from, to, .. } = changes.next().await.unwrap();
        assert_eq!(seen.last(), Some(&from));
        seen.push(to);
    }
    assert_eq!(
        seen,
        [
            State::Closed,
            State::Open,
            State::HalfOpen,
            State::Open,
            State::HalfOpen,
            State::Closed,
            State::ForcedOpen,
            State::Disabled,
            State::Closed,
        ]
    );
    assert_pending!(task::spawn(changes.next()).poll());
}

#[tokio::test(start_paused = true)]
async fn a_change_tells_why_and_for_how_long() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    fail(&circuit, 1);
    wait(seconds(10)).await;
    fail(&circuit, 1);

    let opened = changes.next().await.unwrap();
    assert_eq!(opened.open_for, Some(seconds(10)));
    assert!(matches!(opened.reason, Some(Reason::Rule { bad: 1, .. })));
    let probing = changes.next().await.unwrap();
    assert_eq!(probing.reason, opened.reason);
    let opened = changes.next().await.unwrap();
    assert_eq!(opened.reason, Some(Reason::ProbesFailed));
    assert_eq!(opened.open_for, Some(seconds(20)));
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_who_follows_when_it_has_happened() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    let mut next = task::spawn(changes.next());
    assert_pending!(next.poll());
    fail(&circuit, 1);
    assert!(next.is_woken());
    assert_eq!(state(&circuit), State::Open);
    assert_eq!(assert_ready!(next.poll()).unwrap().to, State::Open);
}

#[tokio::test(start_paused = true)]
async fn what_changes_no_state_is_no_change() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    circuit.reset();
    assert_pending!(task::spawn(changes.next()).poll());
    for command in [Circuit::force_open, Circuit::disable] {
        command(&circuit);
        command(&circuit);
        changes.next().await.unwrap();
        assert_pending!(task::spawn(changes.next()).poll());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_change_loses_none() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    {
        let mut next = task::spawn(changes.next());
        assert_pending!(next.poll());
        circuit.force_open();
    }
    assert_eq!(changes.next().await.unwrap().to, State::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn who_falls_far_behind_goes_on_with_the_oldest_that_is_kept() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    for _ in 0..100 {
        circuit.force_open();
        circuit.reset();
    }
    for _ in 0..32 {
        assert_eq!(changes.next().await.unwrap().to, State::ForcedOpen);
        assert_eq!(changes.next().await.unwrap().to, State::Closed);
    }
    assert_pending!(task::spawn(changes.next()).poll());
}

#[tokio::test(start_paused = true)]
async fn the_changes_end_with_the_circuit() {
    let circuit = Circuit::new(consecutive(1));
    let mut changes = circuit.changes();
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let permit = circuit.admit().unwrap();
    let mut next = task::spawn(changes.next());
    assert_pending!(next.poll());
    drop(circuit);
    assert_pending!(next.poll());
    drop(layer);
    assert!(next.is_woken());
    assert_eq!(assert_ready!(next.poll()), None);
    permit.settle(Verdict::failure());
}

/// Circuits are used again, but nobody can tell.
#[tokio::test(start_paused = true)]
async fn a_permit_that_outlives_its_circuit_changes_no_other() {
    let circuit = Circuit::new(consecutive(1));
    let permit = circuit.admit().unwrap();
    let mut changes = circuit.changes();
    fail(&circuit, 1);
    drop(circuit);
    let others: Vec<_> = (0..10).map(|_| Circuit::new(consecutive(1))).collect();
    permit.settle(Verdict::failure());
    assert_eq!(changes.next().await, None);
    for other in others {
        let snapshot = other.snapshot();
        assert_eq!(snapshot.state, State::Closed);
        assert_eq!(
            (snapshot.openings, snapshot.late, snapshot.refused),
            (0, 0, 0)
        );
    }
}
