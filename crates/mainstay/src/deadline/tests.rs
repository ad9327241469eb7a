use proptest::prelude::*;

use super::*;

#[test]
fn a_timeout_is_up_to_eight_digits_and_a_unit() {
    for (text, expected) in [
        ("1n", Some(Duration::from_nanos(1))),
        ("00000020u", Some(Duration::from_micros(20))),
        ("82m", Some(Duration::from_millis(82))),
        ("3S", Some(Duration::from_secs(3))),
        ("4M", Some(Duration::from_secs(240))),
        ("5H", Some(Duration::from_secs(18_000))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("99999999n", Some(Duration::from_nanos(99_999_999))),
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
    ] {
        assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
    }
    assert_eq!(parse(b"\xff\xffS"), None);
}

#[test]
fn a_timeout_has_the_finest_unit_that_it_fits_into() {
    for (timeout, text) in [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_000), "100000u"),
        (Duration::from_secs(30), "30000000u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::MAX, "99999999H"),
    ] {
        assert_eq!(format(timeout), text);
    }
}

proptest! {
    #[test]
    fn nobody_is_told_of_more_time_than_there_is(
        seconds in prop_oneof![0..1_000_u64, 0..100_000_000_u64, any::<u64>()],
        nanos in 0..1_000_000_000_u32,
    ) {
        let timeout = Duration::new(seconds, nanos);
        let told = format(timeout);
        let told = parse(told.as_bytes()).expect("it can be read");
        prop_assert!(told <= timeout);
        if timeout < Duration::from_secs(99_999_999 * 3600) {
            prop_assert!(timeout - told <= timeout / 99_999, "{timeout:?} {told:?}");
        }
    }

    #[test]
    fn whatever_is_read_is_told_the_same(text in "[0-9]{1,8}[numSMH]") {
        let timeout = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(parse(format(timeout).as_bytes()), Some(timeout));
    }

    #[test]
    fn whatever_comes_is_read_or_refused(value in prop::collection::vec(any::<u8>(), 0..12)) {
        let _ = parse(&value);
    }

    #[test]
    fn tonic_and_we_tell_the_same(nanos in 0..u64::MAX) {
        let timeout = Duration::from_nanos(nanos);
        let mut request = tonic::Request::new(());
        request.set_timeout(timeout);
        let theirs = request.metadata().get(TIMEOUT.as_str()).unwrap();
        let ours = format(timeout);
        prop_assert_eq!(ours.as_bytes(), theirs.as_encoded_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn what_remains_is_told_and_never_less_than_nothing() {
    let mut headers = HeaderMap::new();
    assert_eq!(Deadline::of(&headers, Instant::now()), Said::Nothing);
    headers.insert(TIMEOUT, "3S".parse().unwrap());
    let deadline = Deadline::of(&headers, Instant::now()).unwrap();
    assert_eq!(
        deadline,
        Deadline::at(Instant::now() + Duration::from_secs(3))
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    deadline.put(&mut headers, Instant::now(), false);
    assert_eq!(headers[TIMEOUT], "2000000u");
    assert!(
        headers[TIMEOUT].is_sensitive(),
        "it is not to be compressed"
    );
    tokio::time::advance(Duration::from_secs(3)).await;
    deadline.put(&mut headers, Instant::now(), false);
    assert_eq!(headers[TIMEOUT], "0n");
    assert_eq!(headers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_cannot_be_read_is_no_deadline() {
    let mut headers = HeaderMap::new();
    headers.insert(TIMEOUT, "soon".parse().unwrap());
    assert_eq!(Deadline::of(&headers, Instant::now()), Said::Unreadable);
}
