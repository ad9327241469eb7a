use std::time::Duration;

use proptest::prelude::*;

use crate::OpenTime;

/// A time, its maximum and its jitter.
fn open_time() -> impl Strategy<Value = (OpenTime, Duration, f64)> {
    (1..10_000_u64, 0..1_000_000_u64, 0.0..=1.0).prop_map(|(first, more, jitter)| {
        let max = Duration::from_millis(first + more);
        let time = OpenTime::new(Duration::from_millis(first), max).unwrap();
        (time.with_jitter(jitter).unwrap(), max, jitter)
    })
}

proptest! {
    #[test]
    fn no_time_is_above_the_maximum_or_below_its_jitter(
        (time, max, jitter) in open_time(), doublings: u32, asked: u64, chance in 0.0..1.0,
    ) {
        let asked = Duration::from_millis(asked);
        let drawn = time.after(doublings, asked, chance);
        let whole = time.after(doublings, Duration::ZERO, 0.0);
        prop_assert!(drawn <= max);
        // A nanosecond for rounding.
        prop_assert!(drawn + Duration::from_nanos(1) >= whole.mul_f64(1.0 - jitter));
        prop_assert!(drawn >= asked.min(max));
    }

    #[test]
    fn each_doubling_doubles_up_to_the_maximum((time, max, _) in open_time(), doublings in 0..100_u32) {
        let one = time.after(doublings, Duration::ZERO, 0.0);
        let next = time.after(doublings + 1, Duration::ZERO, 0.0);
        prop_assert_eq!(next, (one * 2).min(max));
    }
}

#[test]
fn a_doubling_is_taken_back_for_each_healthy_spell() {
    let time = OpenTime::default()
        .with_healthy_spell(Duration::from_secs(10))
        .unwrap();
    assert_eq!(time.recovered(3, Duration::from_millis(9_999)), 3);
    assert_eq!(time.recovered(3, Duration::from_secs(10)), 2);
    assert_eq!(time.recovered(3, Duration::from_secs(25)), 1);
    assert_eq!(time.recovered(3, Duration::MAX), 0);
}
