use std::time::Duration;

use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::{
    Ttl,
    tick::Tick,
    windows::{Age, Windows},
};

const ALWAYS: Tick = Tick(0);

proptest! {
    /// The rules of RFC 5861, written out once more.
    #[test]
    fn an_answer_is_given_in_its_windows_and_never_after(
        fresh in 1_u64..1_000,
        stale in 0_u64..1_000,
        error in 0_u64..1_000,
        came in 0_u64..1_000,
        age in 0_u64..3_000,
        rests in any::<bool>(),
    ) {
        let ttl = Ttl::new(nanos(fresh)).unwrap()
            .with_stale_while_revalidate(nanos(stale))
            .with_stale_if_error(nanos(error));
        let windows = Windows::open(&ttl, Tick(came), nanos(7), 0.5);
        let retry_at = if rests { Tick::NEVER } else { ALWAYS };
        let found = windows.age(Tick(came + age), retry_at, || panic!("no draw"));
        let expected = if age < fresh {
            Age::Fresh
        } else if age < fresh + stale.max(error) && rests {
            Age::Resting
        } else if age < fresh + stale {
            Age::Due
        } else if age < fresh + error {
            Age::Spent
        } else {
            Age::Dead
        };
        prop_assert_eq!(found, expected);
        prop_assert_eq!(windows.dead_at() <= Tick(came + age), expected == Age::Dead);
    }

    #[test]
    fn jitter_takes_away_up_to_its_part_and_never_all(
        fresh in 1_u64..u64::MAX / 2,
        part in 0.0..=1.0,
        u in 0.0..1.0,
    ) {
        let ttl = Ttl::new(nanos(fresh)).unwrap().with_jitter(part).unwrap();
        let until = Windows::open(&ttl, Tick(0), Duration::ZERO, u).fresh_until;
        prop_assert!(until.0 >= 1);
        prop_assert!(until.0 <= fresh.saturating_add(fresh >> 50));
        let least = fresh as f64 * (1.0 - part) * (1.0 - 1e-9) - 1.0;
        prop_assert!(until.0 as f64 >= least, "{} of {fresh}", until.0);
    }

    #[test]
    fn the_longest_times_are_for_ever(now in any::<u64>()) {
        let ttl = Ttl::new(Duration::MAX).unwrap()
            .with_stale_while_revalidate(Duration::MAX)
            .with_stale_if_error(Duration::MAX);
        let windows = Windows::open(&ttl, Tick(now), Duration::MAX, 0.0);
        prop_assert_eq!(windows.dead_at(), Tick::NEVER);
    }
}

#[test]
fn jitter_spreads_evenly() {
    let ttl = Ttl::new(nanos(1_000_000)).unwrap();
    let ttl = ttl.with_jitter(0.5).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut quarters = [0; 4];
    for _ in 0..10_000 {
        let until = Windows::open(&ttl, Tick(0), Duration::ZERO, rng.random::<f64>()).fresh_until;
        quarters[((until.0 - 500_000) * 4 / 500_001) as usize] += 1;
    }
    for count in quarters {
        assert!((2_300..2_700).contains(&count), "{quarters:?}");
    }
}

/// P(refresh with t left) = exp(-t / (beta * load time)).
#[test]
fn early_refreshes_are_distributed_as_xfetch_says() {
    let mut rng = StdRng::seed_from_u64(2);
    for beta in [0.5, 1.0, 3.0] {
        let load = Duration::from_millis(20);
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let windows = Windows::open(&ttl.with_early_refresh(beta).unwrap(), Tick(0), load, 0.0);
        for left in [1_u64, 5, 20, 60, 200] {
            let now = Tick(windows.fresh_until.0 - left * 1_000_000);
            let early = share(&windows, now, &mut rng);
            let expected = (-(left as f64) / (beta * 20.0)).exp();
            assert!(
                (early - expected).abs() < 0.01,
                "beta {beta}, {left} ms left: {early} and not {expected}",
            );
        }
    }
}

#[test]
fn an_early_refresh_is_not_drawn_for_where_it_cannot_be() {
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    let ttl = ttl.with_early_refresh(1.0).unwrap();
    let windows = Windows::open(&ttl, Tick(0), Duration::from_millis(20), 0.0);
    let smallest = 1.0 / (1_u64 << 53) as f64;
    let before = Tick(windows.calm_until.0 - 1);
    assert_eq!(windows.age(before, ALWAYS, || panic!("a draw")), Age::Fresh);
    assert_eq!(
        windows.age(windows.calm_until, ALWAYS, || smallest),
        Age::Fresh
    );
    // 37 times 20 ms.
    assert_eq!(
        windows.fresh_until.since(windows.calm_until),
        Duration::from_millis(740)
    );
}

#[test]
fn an_answer_that_rests_is_not_refreshed_early() {
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    let ttl = ttl.with_early_refresh(1_000.0).unwrap();
    let windows = Windows::open(&ttl, Tick(0), Duration::from_secs(1), 0.0);
    let now = Tick(windows.fresh_until.0 - 1);
    assert_eq!(windows.age(now, ALWAYS, || 0.5), Age::Early);
    assert_eq!(windows.age(now, Tick::NEVER, || 0.5), Age::Fresh);
}

fn share(windows: &Windows, now: Tick, rng: &mut impl Rng) -> f64 {
    let draws = 100_000;
    let mut early = 0;
    for _ in 0..draws {
        let age = windows.age(now, ALWAYS, || rng.random());
        early += u32::from(age == Age::Early);
    }
    f64::from(early) / f64::from(draws)
}

const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}
