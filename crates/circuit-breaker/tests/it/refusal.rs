//! What a refusal says.

use std::sync::Arc;

use mainstay_circuit_breaker::{
    Circuit, FailureRate, HalfOpen, Name, Rules, SlowCallRate, Verdict, Window,
};

use crate::{consecutive, fail, open_time, seconds, wait};

#[tokio::test(start_paused = true)]
async fn a_refusal_says_which_circuit_why_and_for_how_long() {
    let circuit = Circuit::new(consecutive(3).with_name("users"));
    fail(&circuit, 3);
    wait(seconds(4)).await;
    let open = circuit.admit().unwrap_err();
    assert_eq!(open.name(), Some("users"));
    assert_eq!(open.retry_after(), Some(seconds(6)));
    assert_eq!(
        open.to_string(),
        "circuit users is open (3 failures in a row), the next try in 6s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_each_rule_reads_well() {
    let window = Window::last_calls(4, 4).unwrap();
    let rate = FailureRate::new(0.5, window).unwrap();
    let circuit = Circuit::new(Rules::new(rate).with_open_time(open_time()));
    fail(&circuit, 4);
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is open (4 of 4 calls failed), the next try in 10s"
    );

    let slow = SlowCallRate::new(0.5, seconds(2), Window::last_calls(1, 1).unwrap()).unwrap();
    let circuit = Circuit::new(Rules::new(slow).with_open_time(open_time()));
    let permit = circuit.admit().unwrap();
    wait(seconds(2)).await;
    permit.settle(Verdict::Success);
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is open (1 of 1 calls took 2s or longer), the next try in 10s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_each_state_reads_well() {
    let half_open = HalfOpen::new(1, 1).unwrap();
    let half_open = half_open.with_max_wait(seconds(3)).unwrap();
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let _probe = circuit.admit().unwrap();
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is half-open (1 failure), its probes are out"
    );
    wait(seconds(3)).await;
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is open (a probe had no outcome in time), the next try in 20s"
    );
    wait(seconds(20)).await;
    fail(&circuit, 1);
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is open (probes failed), the next try in 40s"
    );
    circuit.force_open();
    assert_eq!(
        circuit.admit().unwrap_err().to_string(),
        "circuit is forced open"
    );
}

#[test]
fn a_name_is_what_it_was_made_of() {
    let names: [Name; 3] = ["users".into(), String::from("users").into(), {
        Arc::<str>::from("users").into()
    }];
    for name in &names {
        assert_eq!(&**name, "users");
        assert_eq!(name, &names[0]);
        assert_eq!(name.to_string(), "users");
    }
}
