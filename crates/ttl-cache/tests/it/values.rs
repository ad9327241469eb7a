//! Values that are checked when they are made.

use mainstay_ttl_cache::{Limits, Ttl, TtlCache};

use crate::*;

/// What is written in the code is checked by the compiler.
const MINUTE: Ttl = match Ttl::new(seconds(60)) {
    Ok(ttl) => match ttl
        .with_stale_while_revalidate(seconds(10))
        .with_jitter(0.1)
    {
        Ok(ttl) => ttl,
        Err(_) => panic!("jitter"),
    },
    Err(_) => panic!("time"),
};

const THOUSAND: Limits = match Limits::new(1_000) {
    Ok(limits) => limits.with_detached_loads(),
    Err(_) => panic!("entries"),
};

#[test]
fn wrong_times_to_live_are_refused() {
    let error = Ttl::new(Duration::ZERO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid time to live: an answer must be fresh for some time"
    );
    for part in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        MINUTE.with_jitter(part).unwrap_err();
    }
    for beta in [-0.1, 1_000.1, f64::NAN, f64::INFINITY] {
        MINUTE.with_early_refresh(beta).unwrap_err();
    }
    MINUTE.with_jitter(1.0).unwrap();
    MINUTE.with_early_refresh(Ttl::MAX_BETA).unwrap();
    Ttl::new(Duration::MAX).unwrap();
}

#[test]
fn wrong_limits_are_refused() {
    let error = Limits::new(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid limits of a cache: there must be room for an entry"
    );
    Limits::new(Limits::MAX + 1).unwrap_err();
    THOUSAND.with_weight(0).unwrap_err();
    THOUSAND.with_weight(1 << 63).unwrap_err();
    THOUSAND.with_refresh_timeout(Duration::ZERO).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn the_smallest_and_the_greatest_limits_work() {
    let greatest = Limits::new(Limits::MAX)
        .unwrap()
        .with_weight(1 << 62)
        .unwrap();
    for limits in [limits(1), greatest] {
        let cache = TtlCache::<u64, u64>::new(limits, Ttl::new(Duration::MAX).unwrap());
        cache.insert(1, 1);
        assert_eq!(cache.get(&1), Some(1));
        wait(seconds(1_000_000_000)).await;
        cache.sweep();
        assert_eq!(cache.get(&1), Some(1));
        cache.insert(2, 2);
        assert_eq!(cache.get(&2), Some(2));
    }
}
