use proptest::prelude::*;

use super::*;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for parent in parents {
        headers.append(PARENT, HeaderValue::from_bytes(parent.as_bytes()).unwrap());
    }
    for state in states {
        headers.append(STATE, HeaderValue::from_bytes(state.as_bytes()).unwrap());
    }
    headers
}

fn passed_on(trace: &TraceContext) -> HeaderMap {
    let mut headers = HeaderMap::new();
    trace.put(&mut headers);
    headers
}

#[test]
fn a_trace_is_passed_on_as_it_came() {
    let came = headers(&[GOOD], &["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"]);
    let trace = TraceContext::of(&came).unwrap();
    assert_eq!(trace.trace_id(), 0x4bf92f3577b34da6a3ce929d0e0e4736);
    assert_eq!(trace.parent_id(), 0x00f067aa0ba902b7);
    assert!(trace.is_sampled());
    assert_eq!(passed_on(&trace), came);
}

#[test]
fn what_is_no_valid_parent_is_none() {
    for parent in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let came = headers(&[parent], &["a=b"]);
        assert_eq!(TraceContext::of(&came), None, "{parent:?}");
    }
    assert_eq!(TraceContext::of(&headers(&[GOOD, GOOD], &[])), None);
    assert_eq!(TraceContext::of(&headers(&[], &["a=b"])), None);
}

#[test]
fn of_a_later_version_what_is_known_is_passed_on_as_the_version_that_we_know() {
    let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-comes";
    for parent in [later, &later[..55]] {
        let trace = TraceContext::of(&headers(&[parent], &[])).unwrap();
        assert_eq!(passed_on(&trace), headers(&[GOOD], &[]));
    }
}

#[test]
fn a_bad_state_does_not_take_its_parent_along() {
    let long = "x".repeat(513);
    let many = ["a=b"; 33].join(",");
    for state in ["", &long, &many, "a=é"] {
        let trace = TraceContext::of(&headers(&[GOOD], &[state])).unwrap();
        assert_eq!(trace.state(), None, "{state:?}");
    }
    let trace = TraceContext::of(&headers(&[GOOD], &["a=b", "c=d"])).unwrap();
    assert_eq!(trace.state().unwrap(), "a=b,c=d");
}

#[test]
fn what_was_said_before_is_replaced() {
    let trace = TraceContext::of(&headers(&[GOOD], &[])).unwrap();
    let mut going = headers(&["garbage", "garbage"], &["c=d"]);
    trace.put(&mut going);
    assert_eq!(going, headers(&[GOOD], &[]));
}

proptest! {
    #[test]
    fn whatever_version_00_says_is_said_again(
        trace in 1..=u128::MAX, parent in 1..=u64::MAX, flags in any::<u8>(),
    ) {
        let came = headers(&[&format!("00-{trace:032x}-{parent:016x}-{flags:02x}")], &[]);
        prop_assert_eq!(passed_on(&TraceContext::of(&came).unwrap()), came);
    }

    #[test]
    fn whatever_comes_is_read_or_not(
        parent in prop_oneof!["[0-9a-f-]{55}", "[ -~]{0,80}", "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,4}"],
        state in "[ -~]{0,20}",
    ) {
        let Ok(parent) = HeaderValue::from_bytes(parent.as_bytes()) else { return Ok(()) };
        let mut came = headers(&[], &[&state]);
        came.insert(PARENT, parent);
        if let Some(trace) = TraceContext::of(&came) {
            prop_assert_eq!(TraceContext::of(&passed_on(&trace)), Some(trace));
        }
    }
}
