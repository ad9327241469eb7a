//! What opens a circuit.

use std::time::Duration;

use mainstay_circuit_breaker::{
    Circuit, ConsecutiveFailures, Failure, FailureRate, Reason, Rule, Rules, SlowCallRate, State,
    Window,
};

use crate::{call, consecutive, fail, open_time, seconds, state, succeed, wait};

#[tokio::test(start_paused = true)]
async fn opens_at_the_limit_of_failures_in_a_row() {
    let circuit = Circuit::new(consecutive(5));
    fail(&circuit, 4);
    assert_eq!(state(&circuit), State::Closed);
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
    circuit.admit().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_row_of_failures() {
    let circuit = Circuit::new(consecutive(3));
    for _ in 0..10 {
        fail(&circuit, 2);
        succeed(&circuit, 1);
    }
    assert_eq!(state(&circuit), State::Closed);
    assert_eq!(circuit.snapshot().rules[0].bad, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_neither_lengthens_nor_ends_the_row_of_failures() {
    let circuit = Circuit::new(consecutive(3));
    let refusal = Failure::refusal().into();
    for _ in 0..10 {
        call(&circuit, refusal);
    }
    assert_eq!(state(&circuit), State::Closed);
    fail(&circuit, 2);
    call(&circuit, refusal);
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn most_calls_failing_opens_though_some_succeed_between() {
    let circuit = Circuit::new(
        Rules::new(ConsecutiveFailures::new(5).unwrap()).or(failure_rate(0.5, last_calls(10, 10))),
    );
    // Four of five fail, and never five in a row.
    for _ in 0..2 {
        fail(&circuit, 4);
        succeed(&circuit, 1);
    }
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_successes_does_not_outweigh_the_last_calls() {
    let circuit = Circuit::new(Rules::new(failure_rate(0.5, last_calls(10, 10))));
    succeed(&circuit, 1_000);
    fail(&circuit, 4);
    assert_eq!(state(&circuit), State::Closed);
    let counted = circuit.snapshot().rules[0];
    assert_eq!((counted.bad, counted.calls), (4, 10));
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_rate_counts_from_the_minimum_of_calls_and_not_from_a_full_window() {
    let circuit = Circuit::new(Rules::new(failure_rate(0.5, last_calls(100, 5))));
    fail(&circuit, 4);
    assert_eq!(state(&circuit), State::Closed);
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_success_that_makes_the_minimum_opens_when_the_others_failed() {
    let windows = [last_calls(100, 5), last_time(seconds(10), 5)];
    for window in windows {
        let circuit = Circuit::new(Rules::new(failure_rate(0.8, window)));
        fail(&circuit, 4);
        succeed(&circuit, 1);
        assert_eq!(state(&circuit), State::Open, "{window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_just_reached_opens() {
    // Each product of rate and calls lies beside the whole number, as floats.
    for (rate, bad, calls) in [
        (0.1, 3, 30),
        (0.07, 7, 100),
        (0.29, 29, 100),
        (0.57, 57, 100),
    ] {
        let circuit = Circuit::new(Rules::new(failure_rate(rate, last_calls(calls, calls))));
        succeed(&circuit, calls - bad);
        fail(&circuit, bad - 1);
        assert_eq!(state(&circuit), State::Closed, "{rate}");
        fail(&circuit, 1);
        assert_eq!(state(&circuit), State::Open, "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_leave_a_window_of_time_when_it_has_passed() {
    let circuit = Circuit::new(Rules::new(failure_rate(0.5, last_time(seconds(10), 4))));
    fail(&circuit, 3);
    wait(seconds(10)).await;
    assert_eq!(circuit.snapshot().rules[0].calls, 0);
    fail(&circuit, 3);
    assert_eq!(state(&circuit), State::Closed);
    wait(seconds(9)).await;
    fail(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_success_opens_when_older_ones_have_left_the_window_of_time() {
    let circuit = Circuit::new(Rules::new(failure_rate(0.5, last_time(seconds(10), 2))));
    succeed(&circuit, 10);
    wait(seconds(5)).await;
    fail(&circuit, 5);
    assert_eq!(state(&circuit), State::Closed);
    wait(seconds(5)).await;
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_idle_gap_empties_a_window_of_time_at_once() {
    let circuit = Circuit::new(Rules::new(failure_rate(1.0, last_time(seconds(10), 5))));
    fail(&circuit, 4);
    wait(Duration::from_secs(1 << 30)).await;
    fail(&circuit, 4);
    assert_eq!(state(&circuit), State::Closed);
}

/// A thread counts a million calls by itself; then it hands them over.
#[tokio::test(start_paused = true)]
async fn a_window_counts_on_after_a_million_calls() {
    let all = last_calls(Window::MAX_CALLS, 1);
    let day = last_time(Window::MAX_TIME, 1);
    for (window, counted) in [(all, Window::MAX_CALLS.into()), (day, 2_500_000)] {
        let circuit = Circuit::new(Rules::new(failure_rate(1.0, window)));
        succeed(&circuit, 2_500_000);
        assert_eq!(circuit.snapshot().rules[0].calls, counted);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_though_they_succeed() {
    let circuit = Circuit::new(Rules::new(slow_calls(0.5, seconds(1), last_calls(4, 4))));
    succeed(&circuit, 2);
    for _ in 0..2 {
        assert_eq!(state(&circuit), State::Closed);
        let permit = circuit.admit().unwrap();
        wait(seconds(1)).await;
        permit.settle(mainstay_circuit_breaker::Verdict::Success);
    }
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn fast_failures_are_not_slow_calls() {
    let circuit = Circuit::new(Rules::new(slow_calls(0.1, seconds(1), last_calls(4, 1))));
    fail(&circuit, 20);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_the_rule_that_opened_and_what_it_counted() {
    let rate = failure_rate(0.5, last_calls(10, 4));
    let row = ConsecutiveFailures::new(3).unwrap();

    let circuit = Circuit::new(Rules::new(row).or(rate));
    fail(&circuit, 3);
    assert_reason(&circuit, row.into(), 3, 3);

    let circuit = Circuit::new(Rules::new(row).or(rate));
    succeed(&circuit, 2);
    fail(&circuit, 2);
    assert_reason(&circuit, rate.into(), 2, 4);
}

#[tokio::test(start_paused = true)]
async fn ignored_calls_are_in_no_window() {
    let rules = Rules::new(failure_rate(0.5, last_calls(4, 4)));
    let circuit = Circuit::new(rules.with_open_time(open_time()));
    for _ in 0..10 {
        call(&circuit, mainstay_circuit_breaker::Verdict::Ignore);
        drop(circuit.admit().unwrap());
    }
    assert_eq!(circuit.snapshot().rules[0].calls, 0);
}

#[track_caller]
fn assert_reason(circuit: &Circuit, expected: Rule, expected_bad: u64, expected_calls: u64) {
    let reason = circuit.snapshot().reason.expect("open");
    let Reason::Rule {
        rule, bad, calls, ..
    } = reason
    else {
        panic!("{reason}");
    };
    assert_eq!((rule, bad, calls), (expected, expected_bad, expected_calls));
}

fn failure_rate(rate: f64, window: Window) -> FailureRate {
    FailureRate::new(rate, window).unwrap()
}

fn slow_calls(rate: f64, slow_from: Duration, window: Window) -> SlowCallRate {
    SlowCallRate::new(rate, slow_from, window).unwrap()
}

fn last_calls(calls: u32, min_calls: u32) -> Window {
    Window::last_calls(calls, min_calls).unwrap()
}

fn last_time(length: Duration, min_calls: u32) -> Window {
    Window::last_time(length, min_calls).unwrap()
}
