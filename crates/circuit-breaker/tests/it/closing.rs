//! How long a circuit is open, and what closes it.

use std::time::Duration;

use mainstay_circuit_breaker::{
    Circuit, Failure, FailureRate, Reason, Rules, SlowCallRate, State, Verdict, Window,
};

use crate::{call, consecutive, fail, half_open, open_time, seconds, state, succeed, wait};

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_admits_its_probes_and_no_more() {
    let circuit = half_open_circuit(3, 3).await;
    let probes: Vec<_> = (0..3).map(|_| circuit.admit().unwrap()).collect();
    for _ in 0..100 {
        circuit.admit().unwrap_err();
    }
    assert_eq!(circuit.snapshot().probes_out, 3);
    for probe in probes {
        probe.settle(Verdict::Success);
    }
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn closes_at_the_last_success_that_it_needs() {
    let circuit = half_open_circuit(5, 2).await;
    succeed(&circuit, 1);
    fail(&circuit, 2);
    assert_eq!(state(&circuit), State::HalfOpen);
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn opens_again_as_soon_as_the_successes_are_out_of_reach() {
    let circuit = half_open_circuit(5, 3).await;
    let _out = circuit.admit().unwrap();
    fail(&circuit, 2);
    assert_eq!(state(&circuit), State::HalfOpen);
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
    assert_eq!(circuit.snapshot().reason, Some(Reason::ProbesFailed));
}

#[tokio::test(start_paused = true)]
async fn probes_that_are_further_apart_than_the_window_close_it() {
    let window = Window::last_time(seconds(1), 1).unwrap();
    let rules = Rules::new(FailureRate::new(0.5, window).unwrap())
        .with_half_open(half_open(2, 2))
        .with_open_time(open_time());
    let circuit = Circuit::new(rules);
    fail(&circuit, 1);
    wait(seconds(10)).await;
    succeed(&circuit, 1);
    wait(seconds(30)).await;
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_is_written_off_and_the_circuit_opens_again() {
    let half_open = half_open(1, 1).with_max_wait(seconds(3)).unwrap();
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let hung = circuit.admit().unwrap();
    wait(Duration::from_millis(2_999)).await;
    assert_eq!(circuit.admit().unwrap_err().retry_after(), None);
    wait(Duration::from_millis(1)).await;
    // The second time is twice the first.
    let open = circuit.admit().unwrap_err();
    assert_eq!(open.reason(), Reason::ProbesHung);
    assert_eq!(open.retry_after(), Some(seconds(20)));

    wait(seconds(20)).await;
    let probe = circuit.admit().unwrap();
    hung.settle(Verdict::failure());
    assert_eq!(state(&circuit), State::HalfOpen);
    probe.settle(Verdict::Success);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_hung_probe_ends_on_time_though_nobody_asks() {
    let half_open = half_open(1, 1).with_max_wait(seconds(3)).unwrap();
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let _hung = circuit.admit().unwrap();
    wait(seconds(3 + 20)).await;
    let _probe = circuit.admit().expect("open again, and over");
    assert_eq!(circuit.snapshot().openings, 2);
}

#[tokio::test(start_paused = true)]
async fn only_a_probe_that_is_out_can_hang() {
    let half_open = half_open(2, 2).with_max_wait(seconds(3)).unwrap();
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    succeed(&circuit, 1);
    wait(seconds(1_000)).await;
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_does_not_close_a_circuit_that_looks_for_slow_calls() {
    let window = Window::last_calls(1, 1).unwrap();
    let rules = Rules::new(SlowCallRate::new(1.0, seconds(1), window).unwrap());
    let circuit = Circuit::new(rules.with_open_time(open_time()));
    slow_success(&circuit).await;
    assert_eq!(state(&circuit), State::Open);
    wait(seconds(10)).await;
    slow_success(&circuit).await;
    assert_eq!(state(&circuit), State::Open);
    wait(seconds(20)).await;
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_fails_a_probe() {
    let circuit = half_open_circuit(1, 1).await;
    call(&circuit, Failure::refusal().into());
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_ignored_or_dropped_probe_is_given_back() {
    let circuit = half_open_circuit(1, 1).await;
    for _ in 0..10 {
        call(&circuit, Verdict::Ignore);
        drop(circuit.admit().unwrap());
        assert_eq!(state(&circuit), State::HalfOpen);
    }
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_open_time_begins_when_the_failure_came_back_and_not_when_its_call_began() {
    let circuit = Circuit::new(consecutive(1));
    let permit = circuit.admit().unwrap();
    wait(seconds(100)).await;
    permit.settle(Verdict::failure());
    let open = circuit.admit().unwrap_err();
    assert_eq!(open.retry_after(), Some(seconds(10)));
    wait(Duration::from_millis(9_999)).await;
    circuit.admit().unwrap_err();
    wait(Duration::from_millis(1)).await;
    circuit.admit().unwrap().settle(Verdict::Success);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_open_time_doubles_with_each_opening_up_to_the_maximum() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    for open_for in [10, 20, 40, 60, 60] {
        assert_eq!(
            circuit.snapshot().retry_after,
            Some(seconds(open_for)),
            "{open_for}"
        );
        wait(seconds(open_for)).await;
        fail(&circuit, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_closes_and_soon_opens_again_is_open_for_longer() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    succeed(&circuit, 1);
    wait(seconds(59)).await;
    fail(&circuit, 1);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(20)));
}

#[tokio::test(start_paused = true)]
async fn a_healthy_spell_takes_a_doubling_back() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    fail(&circuit, 1);
    wait(seconds(20)).await;
    succeed(&circuit, 1);
    wait(seconds(60)).await;
    // Two doublings, less one.
    fail(&circuit, 1);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(20)));
    wait(seconds(20)).await;
    succeed(&circuit, 1);
    wait(seconds(10 * 60)).await;
    fail(&circuit, 1);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_takes_no_longer_to_recover_from_than_its_doublings() {
    let circuit = Circuit::new(consecutive(1));
    fail(&circuit, 1);
    for _ in 0..200 {
        wait(circuit.snapshot().retry_after.unwrap()).await;
        fail(&circuit, 1);
    }
    wait(seconds(60)).await;
    succeed(&circuit, 1);
    // 10 s, 20 s, 40 s, and then the maximum.
    wait(3 * seconds(60)).await;
    fail(&circuit, 1);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn any_failed_probe_can_ask_for_a_longer_open_time() {
    let circuit = half_open_circuit(2, 1).await;
    let hint = Failure::new().with_retry_after(seconds(55));
    call(&circuit, hint.into());
    wait(seconds(5)).await;
    fail(&circuit, 1);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(50)));
}

/// Their numbers come round again after a million.
#[tokio::test(start_paused = true)]
async fn a_million_probes_given_back_do_not_give_back_one_that_is_out() {
    let circuit = half_open_circuit(2, 2).await;
    let _out = circuit.admit().unwrap();
    for _ in 0..1 << 20 {
        drop(circuit.admit().unwrap());
    }
    assert_eq!(circuit.snapshot().probes_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_slow_by_the_strictest_rule() {
    let window = Window::last_calls(9, 9).unwrap();
    let slow = |from| SlowCallRate::new(1.0, seconds(from), window).unwrap();
    let circuit = Circuit::new(consecutive(1).or(slow(5)).or(slow(1)));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    slow_success(&circuit).await;
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failure_can_ask_for_a_longer_open_time_within_the_maximum() {
    for (asked, open_for) in [(5, 10), (30, 30), (1_000_000, 60), (u64::MAX, 60)] {
        let hint = Failure::new().with_retry_after(seconds(asked));
        let circuit = Circuit::new(consecutive(2));
        call(&circuit, hint.into());
        fail(&circuit, 1);
        assert_eq!(circuit.snapshot().retry_after, Some(seconds(open_for)));

        // So can a probe.
        let circuit = half_open_circuit(1, 1).await;
        call(&circuit, hint.into());
        let open_for = open_for.max(20);
        assert_eq!(circuit.snapshot().retry_after, Some(seconds(open_for)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failure_asked_for_before_the_circuit_was_closed_is_forgotten() {
    let hint = Failure::new().with_retry_after(seconds(50));
    let circuit = Circuit::new(consecutive(2));
    call(&circuit, hint.into());
    circuit.reset();
    fail(&circuit, 2);
    assert_eq!(circuit.snapshot().retry_after, Some(seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn circuits_that_open_together_do_not_probe_together() {
    let time = open_time().with_jitter(0.5).unwrap();
    let open_for = |_| {
        let circuit = Circuit::new(consecutive(1).with_open_time(time));
        fail(&circuit, 1);
        circuit.snapshot().retry_after.unwrap()
    };
    let mut times: Vec<_> = (0..100).map(open_for).collect();
    times.sort();
    assert!(times[0] >= seconds(5) && times[99] <= seconds(10));
    times.dedup();
    // Two of a hundred draws from five billion nanoseconds are the same once in a million runs.
    assert!(times.len() >= 99, "{times:?}");
}

async fn half_open_circuit(probes: u32, successes: u32) -> Circuit {
    let circuit = Circuit::new(consecutive(1).with_half_open(half_open(probes, successes)));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    circuit
}

async fn slow_success(circuit: &Circuit) {
    let permit = circuit.admit().unwrap();
    wait(seconds(1)).await;
    permit.settle(Verdict::Success);
}
