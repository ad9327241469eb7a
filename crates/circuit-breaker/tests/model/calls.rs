//! Threads that make calls through one gate, and what must be true in the end.

use std::{sync::Arc, time::Duration};

use loom::thread;
use tokio::time::Instant;

use crate::{
    ConsecutiveFailures, FailureRate, HalfOpen, OpenTime, Rule, Rules, Snapshot, State, Verdict,
    Window, check, gate::Gate, pass::Pass, sync,
};

#[test]
fn failures_of_two_threads_open_once() {
    check(|| {
        let gate = gate(row(2));
        let other = call(gate, 0, Verdict::failure());
        if let Some(pass) = admit(gate) {
            gate.settle(pass, Verdict::failure(), None);
        }
        other.join().unwrap();
        let snapshot = snapshot(gate);
        assert_eq!((snapshot.state, snapshot.openings), (State::Open, 1));
        assert!(admit(gate).is_none());
    });
}

#[test]
fn a_success_ends_a_row_or_came_before_it() {
    check(|| {
        let gate = gate(row(2));
        let pass = admit(gate).unwrap();
        let other = call(gate, 0, Verdict::Success);
        gate.settle(pass, Verdict::failure(), None);
        other.join().unwrap();
        let failures = snapshot(gate).rules[0].bad;
        assert!(failures <= 1);
        // And if it came before, then the next success does not.
        let pass = admit(gate).unwrap();
        gate.settle(pass, Verdict::Success, None);
        assert_eq!(snapshot(gate).rules[0].bad, 0);
    });
}

/// A success that is counted while a failure looks for it: one of them must see that there are two.
#[test]
fn the_call_that_makes_the_minimum_is_not_missed() {
    check(|| {
        let gate = gate(rate(2));
        let pass = admit(gate).unwrap();
        let other = call(gate, 0, Verdict::Success);
        gate.settle(pass, Verdict::failure(), None);
        other.join().unwrap();
        assert!(admit(gate).is_none());
    });
}

#[test]
fn a_late_outcome_is_in_no_later_window() {
    check(|| {
        for verdict in [Verdict::Success, Verdict::failure()] {
            let gate = gate(rate(2));
            let pass = admit(gate).unwrap();
            let late = thread::spawn(move || {
                sync::set_number(0);
                gate.settle(pass, verdict, None);
            });
            gate.ask(|machine| machine.reset(Instant::now()));
            let snapshot = snapshot(gate);
            assert_eq!(snapshot.rules[0].calls, 0);
            late.join().unwrap();
            assert_eq!(self::snapshot(gate).rules[0].calls, 0);
        }
    });
}

#[test]
fn an_outcome_does_not_reach_the_next_owner() {
    check(|| {
        for verdict in [Verdict::Success, Verdict::failure()] {
            let gate = gate(rate(1));
            let pass = admit(gate).unwrap();
            let late = thread::spawn(move || {
                sync::set_number(0);
                gate.settle(pass, verdict, None);
            });
            gate.retire();
            gate.begin(Arc::new(rate(1)), Instant::now());
            late.join().unwrap();
            let snapshot = snapshot(gate);
            assert_eq!(snapshot.state, State::Closed);
            assert_eq!((snapshot.rules[0].calls, snapshot.late), (0, 0));
        }
    });
}

#[test]
fn nothing_is_heard_of_a_circuit_without_an_owner() {
    check(|| {
        let gate = gate(row(1));
        let pass = admit(gate).unwrap();
        gate.retire();
        assert!(!gate.settle(pass, Verdict::failure(), None));

        // Nor of probes that hang.
        let gate = half_open_gate();
        let pass = admit(gate).unwrap();
        gate.retire();
        assert_eq!(snapshot(gate).state, State::Disabled);
        assert!(!gate.settle(pass, Verdict::Success, None));
    });
}

#[test]
fn one_probe_is_admitted_of_two() {
    check(|| {
        let gate = half_open_gate();
        let other = thread::spawn(move || admit(gate));
        let one = admit(gate);
        let other = other.join().unwrap();
        assert_eq!(u8::from(one.is_some()) + u8::from(other.is_some()), 1);
        let pass = one.or(other).unwrap();
        gate.settle(pass, Verdict::Success, None);
        assert_eq!(snapshot(gate).state, State::Closed);
    });
}

#[test]
fn a_probe_that_is_given_back_is_there_again() {
    check(|| {
        let gate = half_open_gate();
        let other = call(gate, 0, Verdict::Ignore);
        if let Some(pass) = admit(gate) {
            gate.settle(pass, Verdict::Ignore, None);
        }
        other.join().unwrap();
        assert_eq!(snapshot(gate).probes_out, 0);
        assert!(admit(gate).is_some());
    });
}

/// Makes a call in another thread, if it is admitted.
fn call(gate: &'static Gate, number: usize, verdict: Verdict) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        sync::set_number(number);
        if let Some(pass) = admit(gate) {
            gate.settle(pass, verdict, None);
        }
    })
}

fn admit(gate: &Gate) -> Option<Pass> {
    let asked = || gate.ask(|machine| machine.admit(Instant::now())).0.ok();
    gate.pass().or_else(asked)
}

fn snapshot(gate: &Gate) -> Snapshot {
    gate.ask(|machine| machine.snapshot(Instant::now())).0
}

fn half_open_gate() -> &'static Gate {
    let nanosecond = Duration::from_nanos(1);
    let open_time = OpenTime::new(nanosecond, nanosecond).unwrap();
    let rules = row(1).with_open_time(open_time);
    let gate = gate(rules.with_half_open(HalfOpen::new(1, 1).unwrap()));
    let pass = admit(gate).unwrap();
    gate.settle(pass, Verdict::failure(), None);
    gate
}

fn gate(rules: Rules) -> &'static Gate {
    Box::leak(Box::new(Gate::new(Arc::new(rules), 1, Instant::now())))
}

fn row(limit: u32) -> Rules {
    rules(ConsecutiveFailures::new(limit).unwrap())
}

/// Opens if half of two calls fail.
fn rate(min_calls: u32) -> Rules {
    let window = Window::last_calls(2, min_calls).unwrap();
    rules(FailureRate::new(0.5, window).unwrap())
}

fn rules(rule: impl Into<Rule>) -> Rules {
    let hour = Duration::from_secs(60 * 60);
    Rules::new(rule).with_open_time(OpenTime::new(hour, hour).unwrap())
}
