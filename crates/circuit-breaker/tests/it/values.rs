//! No wrong value can be built.

use std::time::Duration;

use mainstay_circuit_breaker::{
    ConsecutiveFailures, FailureRate, HalfOpen, KeyLimits, OpenTime, SlowCallRate, Window,
};

use crate::seconds;

const NANO: Duration = Duration::from_nanos(1);

/// A literal configuration is checked by the compiler.
const ROW: ConsecutiveFailures = match ConsecutiveFailures::new(5) {
    Ok(rule) => rule,
    Err(_) => panic!("a row of failures"),
};

#[test]
fn a_rule_that_cannot_be_is_refused() {
    assert_eq!(ROW.limit(), 5);
    ConsecutiveFailures::new(0).unwrap_err();
    let window = Window::last_calls(10, 1).unwrap();
    for rate in [0.0, -0.5, 1.000_001, f64::NAN, f64::INFINITY] {
        FailureRate::new(rate, window).unwrap_err();
        SlowCallRate::new(rate, seconds(1), window).unwrap_err();
    }
    SlowCallRate::new(0.5, Duration::ZERO, window).unwrap_err();
    for rate in [f64::MIN_POSITIVE, 1.0] {
        FailureRate::new(rate, window).unwrap();
        SlowCallRate::new(rate, Duration::MAX, window).unwrap();
    }
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    Window::last_calls(0, 0).unwrap_err();
    Window::last_calls(10, 0).unwrap_err();
    Window::last_calls(10, 11).unwrap_err();
    Window::last_calls(Window::MAX_CALLS, 1).unwrap();
    Window::last_calls(Window::MAX_CALLS + 1, 1).unwrap_err();
    Window::last_time(seconds(10), 0).unwrap_err();
    Window::last_time(Window::MIN_TIME - NANO, 1).unwrap_err();
    Window::last_time(Window::MIN_TIME, 1).unwrap();
    Window::last_time(Window::MAX_TIME, u32::MAX).unwrap();
    Window::last_time(Window::MAX_TIME + NANO, 1).unwrap_err();
}

#[test]
fn an_open_time_that_cannot_be_is_refused() {
    OpenTime::new(Duration::ZERO, seconds(1)).unwrap_err();
    OpenTime::new(seconds(2), seconds(1)).unwrap_err();
    OpenTime::new(seconds(2), OpenTime::MAX + NANO).unwrap_err();
    let time = OpenTime::new(seconds(2), OpenTime::MAX).unwrap();
    for jitter in [-0.1, 1.1, f64::NAN] {
        time.with_jitter(jitter).unwrap_err();
    }
    time.with_jitter(1.0).unwrap();
    time.with_healthy_spell(Duration::ZERO).unwrap_err();
}

#[test]
fn a_half_open_rule_that_cannot_be_is_refused() {
    HalfOpen::new(0, 0).unwrap_err();
    HalfOpen::new(1, 0).unwrap_err();
    HalfOpen::new(1, 2).unwrap_err();
    let half_open = HalfOpen::new(1, 1).unwrap();
    half_open.with_max_wait(Duration::ZERO).unwrap_err();
    half_open.with_max_wait(Duration::MAX).unwrap();
    HalfOpen::new(HalfOpen::MAX_PROBES, 1).unwrap();
    HalfOpen::new(HalfOpen::MAX_PROBES + 1, 1).unwrap_err();
}

#[test]
fn key_limits_that_cannot_be_are_refused() {
    KeyLimits::new(0, seconds(1)).unwrap_err();
    KeyLimits::new(2, Duration::ZERO).unwrap_err();
    KeyLimits::new(2, Duration::MAX).unwrap();
}

#[test]
fn an_error_says_what_was_wrong() {
    assert_eq!(
        Window::last_calls(10, 11).unwrap_err().to_string(),
        "invalid rule of a circuit breaker: the minimum of calls must not be greater than the window"
    );
    assert_eq!(
        OpenTime::new(seconds(2), seconds(1))
            .unwrap_err()
            .to_string(),
        "invalid open time of a circuit breaker: the first time must not be longer than the maximum"
    );
}

#[test]
fn the_defaults_are_those_that_are_written() {
    let open_time = OpenTime::new(seconds(5), seconds(60)).unwrap();
    let open_time = open_time.with_jitter(0.2).unwrap();
    assert_eq!(
        OpenTime::default(),
        open_time.with_healthy_spell(seconds(60)).unwrap()
    );
    let half_open = HalfOpen::new(1, 1).unwrap();
    assert_eq!(
        HalfOpen::default(),
        half_open.with_max_wait(seconds(60)).unwrap()
    );
}
