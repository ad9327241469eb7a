use proptest::prelude::*;

use super::*;

#[test]
fn a_grpc_timeout_is_up_to_eight_digits_and_a_unit() {
    for (text, expected) in [
        ("1n", Some(Duration::from_nanos(1))),
        ("00000020u", Some(Duration::from_micros(20))),
        ("82m", Some(Duration::from_millis(82))),
        ("3S", Some(Duration::from_secs(3))),
        ("4M", Some(Duration::from_secs(240))),
        ("5H", Some(Duration::from_secs(18_000))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
        ("0S", Some(Duration::ZERO)),
        ("", None),
        ("S", None),
        ("1", None),
        ("1s", None),
        ("123456789S", None),
        ("-1S", None),
        ("+1S", None),
        ("1.5S", None),
        (" 1S", None),
        ("1S ", None),
        ("1S, 2S", None),
    ] {
        assert_eq!(Notation::Grpc.parse(text.as_bytes()), expected, "{text:?}");
    }
    assert_eq!(Notation::Grpc.parse(b"\xff\xffS"), None);
}

#[test]
fn milliseconds_are_up_to_fifteen_digits() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1500", Some(1_500)),
        ("999999999999999", Some(999_999_999_999_999)),
        ("1000000000000000", None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("1ms", None),
    ] {
        let parsed = Notation::Milliseconds.parse(text.as_bytes());
        assert_eq!(parsed, expected.map(Duration::from_millis), "{text:?}");
    }
}

#[test]
fn a_time_is_said_in_the_finest_unit_that_it_fits_into() {
    for (time, grpc, milliseconds) in [
        (Duration::ZERO, "0n", "0"),
        (Duration::from_nanos(99_999_999), "99999999n", "99"),
        (Duration::from_nanos(100_000_000), "100000u", "100"),
        (Duration::from_secs(30), "30000000u", "30000"),
        (Duration::from_secs(100), "100000m", "100000"),
        (Duration::MAX, "99999999H", "999999999999999"),
    ] {
        assert_eq!(Notation::Grpc.format(time), grpc);
        assert_eq!(Notation::Milliseconds.format(time), milliseconds);
    }
}

fn notations() -> impl Strategy<Value = Notation> {
    prop_oneof![Just(Notation::Grpc), Just(Notation::Milliseconds)]
}

proptest! {
    #[test]
    fn nobody_is_told_of_more_time_than_there_is(
        notation in notations(),
        seconds in prop_oneof![0..1_000_u64, 0..100_000_000_u64, any::<u64>()],
        nanos in 0..1_000_000_000_u32,
    ) {
        let time = Duration::new(seconds, nanos);
        let told = notation.format(time);
        let told = notation.parse(told.as_bytes()).expect("it can be read");
        prop_assert!(told <= time);
        if time < Duration::from_secs(99_999_999 * 3_600) {
            let lost = Duration::from_millis(1).max(time / 99_999);
            prop_assert!(time - told <= lost, "{time:?} {told:?}");
        }
    }

    #[test]
    fn whatever_is_read_is_told_the_same(text in "[0-9]{1,8}[numSMH]") {
        let time = Notation::Grpc.parse(text.as_bytes()).unwrap();
        prop_assert_eq!(Notation::Grpc.parse(Notation::Grpc.format(time).as_bytes()), Some(time));
    }

    #[test]
    fn whatever_comes_is_read_or_not(
        notation in notations(),
        value in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let _ = notation.parse(&value);
    }
}
