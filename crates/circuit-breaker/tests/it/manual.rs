//! What a person can tell a circuit.

use mainstay_circuit_breaker::{Circuit, FailureRate, Reason, Rules, State, Verdict, Window};

use crate::{consecutive, fail, half_open, seconds, state, succeed, wait};

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_forced_open_stays_open() {
    let circuit = Circuit::new(consecutive(1));
    let out = circuit.admit().unwrap();
    circuit.force_open();
    out.settle(Verdict::Success);
    wait(seconds(1_000_000)).await;
    let open = circuit.admit().unwrap_err();
    assert_eq!(open.reason(), Reason::Forced);
    assert_eq!(open.retry_after(), None);
    circuit.reset();
    succeed(&circuit, 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_can_be_forced_open() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    circuit.force_open();
    wait(seconds(10)).await;
    circuit.admit().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_disabled_circuit_admits_all_and_counts_nothing() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    circuit.disable();
    fail(&circuit, 100);
    assert_eq!(state(&circuit), State::Disabled);
    let out = circuit.admit().unwrap();
    circuit.reset();
    assert_eq!(state(&circuit), State::Closed);
    out.settle(Verdict::failure());
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_circuit_counts_no_success_either() {
    for window in [
        Window::last_calls(20, 10),
        Window::last_time(seconds(10), 10),
    ] {
        let rate = FailureRate::new(0.5, window.unwrap()).unwrap();
        let circuit = Circuit::new(Rules::new(rate));
        circuit.disable();
        succeed(&circuit, 5);
        assert_eq!(circuit.snapshot().rules[0].calls, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn reset_clears_a_closed_circuit() {
    let window = Window::last_calls(20, 10).unwrap();
    let rules = consecutive(10).or(FailureRate::new(1.0, window).unwrap());
    let circuit = Circuit::new(rules);
    fail(&circuit, 9);
    circuit.reset();
    fail(&circuit, 9);
    assert_eq!(state(&circuit), State::Closed);
    assert_eq!(circuit.snapshot().rules[1].calls, 9);
}

#[tokio::test(start_paused = true)]
async fn reset_closes_from_every_state_and_forgets_the_doublings() {
    let states: [fn(&Circuit); 4] = [
        |circuit| fail(circuit, 1),
        Circuit::force_open,
        Circuit::disable,
        |_| {},
    ];
    for enter in states {
        let circuit = Circuit::new(consecutive(1));
        fail(&circuit, 1);
        wait(seconds(10)).await;
        let _probe = circuit.admit().unwrap();
        circuit.reset();
        enter(&circuit);
        circuit.reset();
        assert_eq!(state(&circuit), State::Closed);
        fail(&circuit, 1);
        assert_eq!(circuit.snapshot().retry_after, Some(seconds(10)));
    }
}

#[tokio::test(start_paused = true)]
async fn reset_of_a_half_open_circuit_gives_its_probes_no_say() {
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open(1, 1)));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let probe = circuit.admit().unwrap();
    circuit.reset();
    probe.settle(Verdict::failure());
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_may_use_the_circuit() {
    // It would never come back if it were asked under the lock.
    let circuit = Circuit::new(Rules::new(
        mainstay_circuit_breaker::ConsecutiveFailures::new(1).unwrap(),
    ));
    let own = circuit.clone();
    let layer = mainstay_circuit_breaker::CircuitBreakerLayer::new(circuit.clone()).with_classify(
        move |_: &crate::Answer| {
            own.force_open();
            Verdict::Success
        },
    );
    let service = tower::ServiceBuilder::new()
        .layer(layer)
        .service_fn(async |_: ()| crate::Answer::Ok("hello"));
    tower::ServiceExt::oneshot(service, ()).await.unwrap();
    assert_eq!(state(&circuit), State::ForcedOpen);
}
