//! Values that cannot be wrong.

use std::time::Duration;

use mainstay_batch::{Concurrency, Limits};

use crate::millis;

#[test]
fn a_concurrency_of_nothing_cannot_be_built() {
    assert!(Concurrency::new(0).is_err());
    assert!(Concurrency::new(Concurrency::MAX + 1).is_err());
    assert_eq!(Concurrency::new(1).unwrap().get(), 1);
    let error = Concurrency::new(0).unwrap_err().to_string();
    assert_eq!(error, "invalid concurrency: it must not be zero");
}

#[test]
fn limits_of_nothing_cannot_be_built() {
    let limits = Limits::new(1).unwrap();
    assert!(Limits::new(0).is_err());
    assert!(Limits::new(Limits::MAX + 1).is_err());
    assert!(limits.with_weight(0).is_err());
    assert!(limits.with_batches(0).is_err());
    assert!(limits.with_batches(Limits::MAX_BATCHES + 1).is_err());
    assert!(limits.with_waiting(0).is_err());
    assert!(limits.with_waiting(Limits::MAX + 1).is_err());
    assert!(limits.with_linger(Duration::MAX).is_err());
    assert!(limits.with_linger(Duration::ZERO).is_ok());
}

#[test]
fn limits_are_checked_by_the_compiler() {
    const LIMITS: Limits = match Limits::new(100) {
        Ok(limits) => limits,
        Err(_) => panic!("limits"),
    };
    // As the documentation says.
    let spelt_out = LIMITS.with_batches(1).unwrap();
    let spelt_out = spelt_out.with_waiting(10_000).unwrap();
    let spelt_out = spelt_out.with_linger(millis(1)).unwrap();
    assert_eq!(LIMITS, spelt_out.with_weight(u64::MAX).unwrap());
    assert!(Limits::new(Limits::MAX).is_ok());
}
