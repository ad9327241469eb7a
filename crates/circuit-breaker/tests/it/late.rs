//! Outcomes that come after the state in which their calls were admitted.

use mainstay_circuit_breaker::{Circuit, State, Verdict};

use crate::{consecutive, fail, half_open, seconds, state, succeed, wait};

/// From every state into every other, with both outcomes and none.
#[tokio::test(start_paused = true)]
async fn a_call_decides_only_in_the_state_that_admitted_it_and_exactly_once() {
    let moves: [fn(&Circuit); 4] = [
        Circuit::force_open,
        Circuit::disable,
        Circuit::reset,
        |circuit| {
            circuit.reset();
            fail(circuit, 1);
        },
    ];
    let verdicts = [Verdict::Success, Verdict::failure(), Verdict::Ignore];
    let enter: [fn(&Circuit); 2] = [|_| {}, Circuit::disable];
    for enter in enter {
        for admit_as_probe in [false, true] {
            for leave in moves {
                for verdict in verdicts {
                    let circuit = Circuit::new(consecutive(1));
                    enter(&circuit);
                    if admit_as_probe {
                        circuit.reset();
                        fail(&circuit, 1);
                        wait(seconds(10)).await;
                    }
                    let permit = circuit.admit().unwrap();
                    leave(&circuit);
                    let before = circuit.snapshot();
                    permit.settle(verdict);
                    let mut after = circuit.snapshot();
                    assert!(after.late <= before.late + 1);
                    after.late = before.late;
                    assert_eq!(after, before);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_does_not_fail_a_probe() {
    let circuit = Circuit::new(consecutive(1));
    let late = circuit.admit().unwrap();
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let probe = circuit.admit().unwrap();
    late.settle(Verdict::failure());
    assert_eq!(state(&circuit), State::HalfOpen);
    probe.settle(Verdict::Success);
    assert_eq!(state(&circuit), State::Closed);
    assert_eq!(circuit.snapshot().late, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_success_does_not_close_while_the_probe_is_out() {
    let circuit = Circuit::new(consecutive(1));
    let late = circuit.admit().unwrap();
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let _probe = circuit.admit().unwrap();
    late.settle(Verdict::Success);
    assert_eq!(state(&circuit), State::HalfOpen);
    circuit.admit().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_late_success_does_not_shorten_the_open_time() {
    let circuit = Circuit::new(consecutive(1));
    let late = circuit.admit().unwrap();
    fail(&circuit, 1);
    late.settle(Verdict::Success);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(10)));
    circuit.admit().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn late_failures_do_not_open_a_circuit_that_has_closed_again() {
    let circuit = Circuit::new(consecutive(2));
    let late: Vec<_> = (0..100).map(|_| circuit.admit().unwrap()).collect();
    fail(&circuit, 2);
    wait(seconds(10)).await;
    succeed(&circuit, 1);
    for permit in late {
        permit.settle(Verdict::failure());
    }
    assert_eq!(state(&circuit), State::Closed);
    assert_eq!(circuit.snapshot().rules[0].bad, 0);
    assert_eq!(circuit.snapshot().late, 100);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_spell_takes_no_probe_of_this_one() {
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open(2, 2)));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let late = circuit.admit().unwrap();
    // The other probe fails, and that decides.
    fail(&circuit, 1);
    wait(seconds(20)).await;
    let _probe = circuit.admit().unwrap();
    drop(late);
    assert_eq!(circuit.snapshot().probes_out, 1);
    let _probe = circuit.admit().unwrap();
    circuit.admit().unwrap_err();
}
