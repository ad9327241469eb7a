use proptest::prelude::*;

use super::*;

fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        Just(Jitter::Grpc),
    ]
}

/// Also the longest that can be asked for.
fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![1..=1_000_000_000_u64, any::<u64>().prop_map(|it| it.max(1))]
}

prop_compose! {
    fn backoffs()(a in nanos(), b in nanos(), multiplier in 1.0..=1_000.0_f64, jitter in jitters())
        -> ExponentialBackoff {
        ExponentialBackoff::new(Duration::from_nanos(a.min(b)), Duration::from_nanos(a.max(b)))
            .unwrap()
            .with_multiplier(multiplier)
            .unwrap()
            .with_jitter(jitter)
    }
}

/// What the n-th delay is without jitter, in numbers that cannot overflow.
fn value(backoff: ExponentialBackoff, n: u32) -> u128 {
    let max = backoff.max.as_nanos();
    (0..n).fold(backoff.initial.as_nanos(), |value, _| {
        (value * u128::from(backoff.multiplier))
            .div_ceil(1_000)
            .min(max)
    })
}

proptest! {
    #[test]
    fn every_delay_lies_within_the_bounds_of_its_kind(backoff in backoffs(), seed: u64) {
        let mut last = backoff.initial.as_nanos();
        for (n, delay) in (0..80).zip(backoff.with_seed(seed)) {
            let (v, delay) = (value(backoff, n), delay.as_nanos());
            let (low, high) = match backoff.jitter {
                Jitter::None => (v, v),
                Jitter::Full => (0, v),
                Jitter::Equal => (v / 2, v),
                Jitter::Decorrelated => (
                    backoff.initial.as_nanos(),
                    (last * 3).min(backoff.max.as_nanos()),
                ),
                Jitter::Grpc => (v - v / 5, (v + v / 5).min(u128::from(u64::MAX))),
            };
            prop_assert!((low..=high).contains(&delay), "{n}: {delay} not in {low}..={high}");
            last = delay;
        }
    }

    #[test]
    fn a_decorrelated_delay_grows_from_the_one_before_as_it_was(backoff in backoffs(), seed: u64) {
        let (initial, max) = backoff.nanos();
        let mut random = Random::seeded(Random::seeded(seed).draw());
        let mut last = initial;
        let delays = backoff.with_jitter(Jitter::Decorrelated).with_seed(seed);
        for delay in delays.into_iter().take(20) {
            last = random.between(initial, last.saturating_mul(3)).min(max);
            prop_assert_eq!(delay, Duration::from_nanos(last));
        }
    }

    #[test]
    fn without_jitter_the_delays_never_shrink_and_come_to_stay_at_the_maximum(backoff in backoffs()) {
        let backoff = backoff.with_multiplier(2.0).unwrap().with_jitter(Jitter::None);
        let delays: Vec<_> = backoff.into_iter().take(70).collect();
        prop_assert!(delays.is_sorted());
        prop_assert_eq!(delays.last(), Some(&backoff.max));
    }

    #[test]
    fn no_number_of_retries_overflows(initial in nanos(), jitter in jitters()) {
        let backoff = ExponentialBackoff::new(Duration::from_nanos(initial), Duration::from_nanos(u64::MAX))
            .unwrap()
            .with_multiplier(1_000.0)
            .unwrap()
            .with_jitter(jitter);
        prop_assert_eq!(backoff.into_iter().take(2_000).count(), 2_000);
    }

    #[test]
    fn draws_lie_between_their_bounds(a: u64, b: u64, seed: u64) {
        let drawn = Random::seeded(seed).between(a.min(b), a.max(b));
        prop_assert!((a.min(b)..=a.max(b)).contains(&drawn));
    }

    #[test]
    fn what_makes_no_backoff_is_refused(initial in 0..20_u64, max in 0..20_u64, multiplier: f64) {
        let made = ExponentialBackoff::new(Duration::from_secs(initial), Duration::from_secs(max));
        prop_assert_eq!(made.is_ok(), initial > 0 && initial <= max);
        let made = ExponentialBackoff::default().with_multiplier(multiplier);
        prop_assert_eq!(made.is_ok(), (1.0..=1_000.0).contains(&multiplier));
    }
}

#[test]
fn a_maximum_that_cannot_be_counted_is_refused() {
    let made = ExponentialBackoff::new(Duration::from_secs(1), Duration::MAX);
    assert_eq!(
        made.unwrap_err().to_string(),
        "the maximum must be below 584 years"
    );
    for multiplier in [f64::NAN, f64::INFINITY, 0.999, -1.0] {
        assert!(
            ExponentialBackoff::default()
                .with_multiplier(multiplier)
                .is_err()
        );
    }
}

#[test]
fn the_default_is_as_documented() {
    let documented =
        ExponentialBackoff::new(Duration::from_millis(50), Duration::from_secs(20)).unwrap();
    assert_eq!(ExponentialBackoff::default(), documented);
    assert_eq!(documented.jitter(), Jitter::Full);
    assert_eq!(documented.multiplier, 2_000);
}

/// Sums over many draws: the mean of each kind, to a hundredth.
#[test]
fn every_kind_has_the_mean_of_its_formula() {
    let backoff = ExponentialBackoff::new(Duration::from_secs(1), Duration::from_secs(4)).unwrap();
    let mean = |jitter, skip| {
        let draws = 40_000;
        let seeded = backoff.with_jitter(jitter).with_seed(7);
        let sum: f64 = (0..draws)
            .map(|_| {
                let mut delays = seeded.clone().into_iter();
                delays.nth(skip).unwrap().as_secs_f64()
            })
            .sum();
        sum / f64::from(draws)
    };
    for (jitter, skip, expected) in [
        (Jitter::None, 1, 2.0),
        (Jitter::Full, 0, 0.5),
        (Jitter::Full, 5, 2.0),
        (Jitter::Equal, 0, 0.75),
        (Jitter::Equal, 5, 3.0),
        // Evenly from 1 to 3.
        (Jitter::Decorrelated, 0, 2.0),
        (Jitter::Grpc, 0, 1.0),
        (Jitter::Grpc, 5, 4.0),
    ] {
        let mean = mean(jitter, skip);
        assert!(
            (mean - expected).abs() < expected / 100.0,
            "{jitter:?}: {mean}"
        );
    }
}

#[test]
fn requests_draw_independently() {
    let backoff = ExponentialBackoff::default();
    let seeded = backoff.with_seed(1);
    let clones = backoff.into_iter();
    let first = |mut delays: Delays| delays.next().unwrap();
    for draws in [
        (0..100).map(|_| first(backoff.into_iter())).collect(),
        (0..100).map(|_| first(clones.clone())).collect(),
        (0..100)
            .map(|_| first(seeded.clone().into_iter()))
            .collect::<Vec<_>>(),
    ] {
        let mut distinct = draws.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), draws.len(), "{draws:?}");
    }
}

#[test]
fn no_request_repeats_what_its_neighbour_has_drawn() {
    let hour = Duration::from_secs(3_600);
    let seeded = ExponentialBackoff::new(hour, hour).unwrap().with_seed(1);
    let mut draws: Vec<_> = (0..20)
        .flat_map(|_| seeded.clone().into_iter().take(5))
        .collect();
    draws.sort();
    draws.dedup();
    assert_eq!(draws.len(), 100);
}

#[test]
fn the_same_seed_draws_the_same_delays() {
    let backoff = ExponentialBackoff::default();
    let draw = |seed| {
        let seeded = backoff.with_seed(seed);
        let requests = [seeded.clone(), seeded];
        requests.map(|it| it.into_iter().take(5).collect::<Vec<_>>())
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let [one, other] = draw(1);
    assert_ne!(one, other);
}

#[test]
fn a_clone_begins_anew() {
    let mut delays = ExponentialBackoff::default()
        .with_jitter(Jitter::None)
        .into_iter();
    assert_eq!(delays.nth(3), Some(Duration::from_millis(400)));
    assert_eq!(delays.clone().next(), Some(Duration::from_millis(50)));
    assert_eq!(delays.next(), Some(Duration::from_millis(800)));
}

#[test]
fn the_smallest_delay_grows_too() {
    let [nano, second] = [Duration::from_nanos(1), Duration::from_secs(1)];
    for multiplier in [1.001, 1.5] {
        let backoff = ExponentialBackoff::new(nano, second).unwrap();
        let backoff = backoff.with_multiplier(multiplier).unwrap();
        let mut delays = backoff.with_jitter(Jitter::None).into_iter();
        assert_eq!(delays.nth(30_000), Some(second));
    }
}
