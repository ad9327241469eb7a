//! Budgets that more threads use at once than have a place of their own in them: no token is lost or
//! made, whatever becomes of the retries.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use mainstay_retry_backoff::{Budget, Cause, RetryRatio, TokenBucket};

const THREADS: u32 = 200;

#[test]
fn a_ratio_has_what_is_given_back_and_no_more() {
    let ratio = RetryRatio::new(0.5, 0).unwrap();
    // So that nothing expires on a busy machine: this is the real clock.
    let ratio = ratio.with_ttl(Duration::from_secs(60)).unwrap();
    let spent = AtomicU32::new(0);
    of_all_threads(|| {
        for call in 0..100 {
            let ratio = ratio.clone();
            ratio.requested();
            let Some(paid) = ratio.withdraw(Cause::Transient) else {
                continue;
            };
            if call % 3 == 0 {
                ratio.give_back(paid);
            } else {
                spent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let spent = u64::from(spent.into_inner());
    assert_eq!(ratio.retries() + spent, u64::from(THREADS * 100 / 2));
}

#[test]
fn a_bucket_has_what_is_given_back_or_earned_and_no_more() {
    let (capacity, cost) = (100_000, 3);
    let bucket = TokenBucket::new(n(capacity), n(cost)).unwrap();
    let spent = AtomicU32::new(0);
    of_all_threads(|| {
        for call in 0..100 {
            let bucket = bucket.clone();
            let Some(paid) = bucket.withdraw(Cause::Transient) else {
                continue;
            };
            match call % 3 {
                0 => bucket.give_back(paid),
                1 => bucket.succeeded(Some(paid)),
                _ => drop(spent.fetch_add(cost, Ordering::Relaxed)),
            }
        }
    });
    assert_eq!(bucket.tokens() + spent.into_inner(), capacity);
}

fn of_all_threads(run: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(&run);
        }
    });
}

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}
