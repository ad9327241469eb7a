use super::*;

#[test]
fn codes_are_those_of_grpc_by_their_numbers() {
    for (number, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(code.number()), number);
        assert_eq!(Code::parse(number.to_string().as_bytes()), code);
    }
    let last = tonic::Code::from_i32(Code::ALL.len() as i32 - 1);
    assert_eq!(last, tonic::Code::Unauthenticated);
}

#[test]
fn what_is_no_code_is_unknown() {
    for value in [
        "", "17", "99", "100", "-1", "+1", "00", "01", "1 ", " 1", "x", "1x",
    ] {
        assert_eq!(Code::parse(value.as_bytes()), Code::Unknown, "{value:?}");
    }
}

#[test]
fn pushback_is_a_time_or_never() {
    let after = |ms| Pushback::After(Duration::from_millis(ms));
    for (value, pushback) in [
        ("0", after(0)),
        ("25", after(25)),
        ("-0", after(0)),
        ("9223372036854775807", after(i64::MAX as u64)),
        ("-1", Pushback::Never),
        ("9223372036854775808", Pushback::Never),
        ("", Pushback::Never),
        ("1.5", Pushback::Never),
        ("soon", Pushback::Never),
        (" 1", Pushback::Never),
    ] {
        assert_eq!(Pushback::parse(value.as_bytes()), pushback, "{value:?}");
    }
    assert_eq!(Pushback::parse(b"\xff"), Pushback::Never);
}

#[test]
fn a_request_without_its_one_message_was_not_processed() {
    for (cause, streams_requests, processed) in [
        (Cause::Connection, false, Processed::Never),
        (Cause::Reset, false, Processed::Never),
        (Cause::Deadline, false, Processed::Never),
        (Cause::Answer, false, Processed::Maybe),
        (Cause::Connection, true, Processed::Maybe),
    ] {
        let outcome = Outcome::new(Code::Unavailable, cause).without_body(streams_requests);
        assert_eq!(outcome.processed, processed, "{cause:?} {streams_requests}");
    }
}

#[test]
fn headers_alone_may_start_a_stream() {
    let lost = Outcome::new(Code::Unavailable, Cause::Connection);
    for (processed, expected) in [
        (Processed::Never, Processed::Never),
        (Processed::Refused, Processed::Maybe),
        (Processed::Maybe, Processed::Maybe),
    ] {
        let outcome = lost.with_processed(processed).without_body(true);
        assert_eq!(outcome.processed, expected);
    }
    let reset = Outcome::new(Code::Unavailable, Cause::Reset);
    let refused = reset.with_processed(Processed::Refused);
    assert_eq!(
        refused.without_body(true),
        refused,
        "its server knows better"
    );
}
