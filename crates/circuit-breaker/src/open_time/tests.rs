use proptest::prelude::*;

use super::*;

fn open_time() -> impl Strategy<Value = OpenTime> {
    (1..10_000_u64, 0..1_000_000_u64, 0.0..=1.0).prop_map(|(first, more, jitter)| {
        let max = Duration::from_millis(first + more);
        let time = OpenTime::new(Duration::from_millis(first), max).unwrap();
        time.with_jitter(jitter).unwrap()
    })
}

proptest! {
    #[test]
    fn no_time_is_above_the_maximum_or_below_its_jitter(
        time in open_time(), doublings: u32, asked: u64, chance in 0.0..1.0,
    ) {
        let drawn = time.after(doublings, Duration::from_millis(asked), chance);
        let whole = time.after(doublings, Duration::ZERO, 0.0);
        prop_assert!(drawn <= time.max);
        // A nanosecond for rounding.
        prop_assert!(drawn + Duration::from_nanos(1) >= whole.mul_f64(1.0 - time.jitter));
        prop_assert!(drawn >= Duration::from_millis(asked).min(time.max));
    }

    #[test]
    fn each_doubling_doubles_up_to_the_maximum(time in open_time(), doublings in 0..100_u32) {
        let one = time.after(doublings, Duration::ZERO, 0.0);
        let next = time.after(doublings + 1, Duration::ZERO, 0.0);
        prop_assert_eq!(next, (one * 2).min(time.max));
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
