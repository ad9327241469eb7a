use proptest::prelude::*;

use super::*;

/// The quantile of a sorted list.
fn naive(mut latencies: Vec<u64>, thousandths: u32) -> Option<u64> {
    if latencies.len() < ENOUGH as usize {
        return None;
    }
    latencies.sort_unstable();
    let rank = (latencies.len() as u64 * u64::from(thousandths)).div_ceil(1_000);
    Some(latencies[rank as usize - 1])
}

proptest! {
    #[test]
    fn a_quantile_is_that_of_the_list_or_an_eighth_more(
        latencies in prop::collection::vec(prop_oneof![0..2_000_u64, 0..10_u64.pow(11), any::<u64>()], 0..300),
        thousandths in 1..1_000_u32,
    ) {
        let now = Instant::now();
        let mut all = Latencies::new(thousandths, now);
        for latency in &latencies {
            all.record(now, Duration::from_nanos(*latency));
        }
        let found = all.quantile(now).map(|it| it.as_nanos());
        let exact = naive(latencies, thousandths).map(u128::from);
        prop_assert_eq!(found.is_some(), exact.is_some());
        if let (Some(found), Some(exact)) = (found, exact) {
            prop_assert!(found >= exact && found <= exact + exact / 8, "{} {}", found, exact);
        }
    }

    #[test]
    fn a_bucket_holds_what_falls_into_it(nanos: u64) {
        let index = bucket(nanos);
        prop_assert!(index < BUCKETS);
        prop_assert!(highest(index) >= nanos);
        prop_assert!(index == 0 || highest(index - 1) < nanos);
    }
}

#[test]
fn what_is_old_is_forgotten() {
    let begun = Instant::now();
    let mut all = Latencies::new(500, begun);
    let (short, long) = (Duration::from_nanos(7), Duration::from_nanos(15));
    for _ in 0..100 {
        all.record(begun, long);
    }
    // In the half before: it counts still.
    let second = begun + HALF;
    for _ in 0..99 {
        all.record(second, short);
    }
    assert_eq!(all.quantile(second), Some(long));
    assert_eq!(
        all.quantile(begun + HALF * 2 - Duration::from_nanos(1)),
        Some(long)
    );
    assert_eq!(all.quantile(begun + HALF * 2), Some(short));
    assert_eq!(all.quantile(begun + HALF * 3), None);
    // And after a long rest nothing is left either.
    for _ in 0..100 {
        all.record(begun + HALF * 3, long);
    }
    assert_eq!(all.quantile(begun + HALF * 9), None);
}

#[test]
fn it_is_looked_for_again_when_there_is_more_to_know() {
    let now = Instant::now();
    let mut all = Latencies::new(500, now);
    for _ in 0..ENOUGH - 1 {
        all.record(now, Duration::from_nanos(7));
        assert_eq!(all.quantile(now), None);
    }
    all.record(now, Duration::from_nanos(7));
    assert_eq!(all.quantile(now), Some(Duration::from_nanos(7)));
    for _ in 0..ENOUGH + 2 {
        all.record(now, Duration::from_nanos(5));
        all.quantile(now);
    }
    assert_eq!(all.quantile(now), Some(Duration::from_nanos(5)));
}

#[test]
fn no_count_overflows() {
    let now = Instant::now();
    let mut all = Latencies::new(500, now);
    for half in [&mut all.current, &mut all.before] {
        half.count = u32::MAX / 2;
        half.buckets[0] = half.count;
    }
    all.record(now, Duration::ZERO);
    assert_eq!(all.current.count, u32::MAX / 2);
    assert_eq!(all.quantile(now), Some(Duration::ZERO));
}
