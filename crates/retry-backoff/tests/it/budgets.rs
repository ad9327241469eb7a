//! What retries are paid from.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use mainstay_retry_backoff::{
    Budget, Cause, GrpcThrottle, Outcome, Plan, Retry, RetryLayer, RetryRatio, SpendOnly,
    TokenBucket, Unlimited, Withdrawal,
};
use proptest::prelude::*;
use tokio::time::advance;
use tower::{Layer, ServiceExt};

use crate::script::{Answer, Failure, Script, judge, ms, transient};

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn bucket(capacity: u32, cost: u32) -> TokenBucket {
    TokenBucket::new(n(capacity), n(cost)).unwrap()
}

/// Outside of a runtime, without delays.
fn call<G: Budget + Clone>(attempts: u32, budget: &G, answers: &[Answer]) -> (Answer, u32) {
    let script = Script::new(answers.iter().copied());
    let plan = Plan::new(n(attempts))
        .without_backoff()
        .with_budget(budget.clone());
    let result = Retry::new(plan, judge, script.clone()).oneshot(1);
    (result.now_or_never().unwrap(), script.count())
}

#[test]
fn a_budget_that_refuses_returns_the_original_result() {
    let first = Err(Failure(Outcome::timeout()));
    let empty = bucket(5, 5);
    assert!(empty.withdraw(Cause::Transient).is_some());
    assert_eq!(call(9, &empty, &[first, Ok(1)]), (first, 1));
}

#[test]
fn services_of_one_layer_share_the_budget() {
    let layer = RetryLayer::new(
        Plan::new(n(9))
            .without_backoff()
            .with_budget(bucket(30, 10)),
        judge,
    );
    let script = Script::new([transient()]);
    let one = layer.layer(script.clone());
    for (service, calls) in [(one.clone(), 4), (one, 5), (layer.layer(script.clone()), 6)] {
        let _ = service.oneshot(1).now_or_never().unwrap();
        assert_eq!(script.count(), calls);
    }
}

#[test]
fn a_bucket_pays_by_cause() {
    let bucket = bucket(100, 5)
        .with_timeout_cost(n(10))
        .unwrap()
        .with_throttled_cost(n(7))
        .unwrap();
    for (outcome, left) in [
        (Outcome::transient(), 95),
        (Outcome::timeout(), 85),
        (Outcome::throttled(), 78),
    ] {
        let fatal = Err(Failure(Outcome::Fatal));
        assert_eq!(
            call(9, &bucket, &[Err(Failure(outcome)), fatal]),
            (fatal, 2)
        );
        assert_eq!(bucket.tokens(), left);
    }
}

#[test]
fn a_success_earns_a_token_or_the_price_of_its_last_retry() {
    let bucket = bucket(100, 5);
    let _ = call(4, &bucket, &[transient()]);
    assert_eq!(bucket.tokens(), 85);
    assert_eq!(call(4, &bucket, &[Ok(1)]), (Ok(1), 1));
    assert_eq!(bucket.tokens(), 86);
    // Two retries are paid, and the last one gets its price back.
    assert_eq!(
        call(4, &bucket, &[transient(), transient(), Ok(1)]),
        (Ok(1), 3)
    );
    assert_eq!(bucket.tokens(), 81);
    let dear = bucket.clone().with_refill(n(50));
    let _ = call(4, &dear, &[Ok(1)]);
    // Never above the capacity.
    assert_eq!(bucket.tokens(), 100);
}

#[test]
fn the_default_bucket_is_that_of_the_aws_sdks() {
    let bucket = TokenBucket::default();
    assert_eq!(bucket.tokens(), 500);
    let timeout = Err(Failure(Outcome::timeout()));
    let _ = call(3, &bucket, &[timeout, transient(), timeout]);
    assert_eq!(bucket.tokens(), 485);
}

#[test]
fn a_throttle_allows_retries_while_more_than_half_is_left() {
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    // Nine, eight, seven and six are more than five; five is not.
    assert_eq!(call(9, &throttle, &[transient()]), (transient(), 5));
    assert_eq!(throttle.tokens(), 5.0);
    // It counts failures that are not retried, down to nothing.
    for left in [4.0, 3.0, 2.0, 1.0, 0.0, 0.0] {
        assert_eq!(call(9, &throttle, &[transient()]), (transient(), 1));
        assert_eq!(throttle.tokens(), left);
    }
    // 61 successes to pass six tokens, of which the next failure takes one.
    for _ in 0..61 {
        let _ = call(9, &throttle, &[Ok(1)]);
    }
    assert_eq!(
        call(9, &throttle, &[transient(), Ok(1)]),
        (Ok(1), 2),
        "{throttle:?}"
    );
}

#[test]
fn a_throttle_counts_what_must_not_be_retried_but_not_what_is_fatal() {
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    let _ = call(9, &throttle, &[Err(Failure(Outcome::DoNotRetry))]);
    assert_eq!(throttle.tokens(), 9.0);
    let _ = call(9, &throttle, &[Err(Failure(Outcome::Fatal))]);
    assert_eq!(throttle.tokens(), 9.0);
    let _ = call(1, &throttle, &[transient()]);
    assert_eq!(throttle.tokens(), 8.0);
}

#[test]
fn a_throttle_takes_three_decimal_places_as_they_are_written() {
    let throttle = GrpcThrottle::new(n(1_000), 0.029_9).unwrap();
    let _ = call(1, &throttle, &[transient()]);
    let _ = call(1, &throttle, &[Ok(1)]);
    assert_eq!(throttle.tokens(), 999.029);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_counts_requests_whatever_becomes_of_them() {
    let ratio = RetryRatio::new(0.5, 0).unwrap();
    let fatal = Err(Failure(Outcome::Fatal));
    for answer in [Ok(1), fatal, Err(Failure(Outcome::DoNotRetry)), Ok(1)] {
        assert_eq!(call(9, &ratio, &[answer]), (answer, 1));
    }
    assert_eq!(ratio.retries(), 2);
    // With its own half.
    assert_eq!(call(9, &ratio, &[transient()]), (transient(), 3));
    assert_eq!(ratio.retries(), 0);
    assert_eq!(call(9, &ratio, &[transient()]), (transient(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_ratio_forgets_after_its_ttl() {
    let ratio = RetryRatio::new(1.0, 0)
        .unwrap()
        .with_ttl(ms(1_000))
        .unwrap();
    ratio.requested();
    advance(ms(999)).await;
    assert_eq!(ratio.retries(), 1);
    advance(ms(1)).await;
    assert_eq!(ratio.retries(), 0);
    assert_eq!(ratio.withdraw(Cause::Transient), None);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_always_allows_its_minimum() {
    let ratio = RetryRatio::new(0.0, 3)
        .unwrap()
        .with_ttl(ms(2_000))
        .unwrap();
    let take = || std::iter::from_fn(|| ratio.withdraw(Cause::Transient)).count();
    assert_eq!(take(), 6);
    advance(ms(1_999)).await;
    assert_eq!(take(), 0);
    advance(ms(1)).await;
    assert_eq!(take(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_takes_back_what_was_not_spent_and_forgets_both_together() {
    let ratio = RetryRatio::new(0.0, 1)
        .unwrap()
        .with_ttl(ms(1_000))
        .unwrap();
    let paid = ratio.withdraw(Cause::Transient).unwrap();
    advance(ms(500)).await;
    assert_eq!(ratio.retries(), 0);
    ratio.give_back(paid);
    assert_eq!(ratio.retries(), 1);
    let paid = ratio.withdraw(Cause::Transient).unwrap();
    advance(ms(1_000)).await;
    assert_eq!(ratio.retries(), 1);
    ratio.give_back(paid);
    assert_eq!(ratio.retries(), 1);
}

#[test]
fn the_default_ratio_is_as_documented() {
    let ratio = RetryRatio::default();
    assert_eq!(ratio.retries(), 100);
    for _ in 0..5 {
        ratio.requested();
    }
    assert_eq!(ratio.retries(), 101);
}

#[test]
fn without_a_budget_all_attempts_are_made() {
    assert_eq!(call(30, &Unlimited, &[transient()]), (transient(), 30));
}

#[test]
fn one_that_spends_only_earns_nothing() {
    let bucket = bucket(100, 10);
    let spends = SpendOnly(bucket.clone());
    let _ = call(2, &spends, &[transient(), Ok(1)]);
    assert_eq!(bucket.tokens(), 90);
    let _ = call(2, &spends, &[Ok(1)]);
    assert_eq!(bucket.tokens(), 90);
    spends.give_back(spends.withdraw(Cause::Transient).unwrap());
    assert_eq!(bucket.tokens(), 90);
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    let _ = call(1, &SpendOnly(throttle.clone()), &[transient()]);
    assert_eq!(throttle.tokens(), 10.0);
}

#[test]
fn a_budget_of_your_own_need_not_be_clone() {
    struct Never;

    impl Budget for Never {
        fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
            None
        }
    }

    assert_eq!(call(9, &Arc::new(Never), &[transient()]), (transient(), 1));
}

#[test]
fn a_shared_budget_hears_of_everything() {
    #[derive(Default)]
    struct Notes(Mutex<Vec<&'static str>>);

    impl Notes {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Budget for Notes {
        fn requested(&self) {
            self.note("requested");
        }

        fn succeeded(&self, paid: Option<Withdrawal>) {
            assert_eq!(paid, Some(Withdrawal::new(1, 7)));
            self.note("succeeded");
        }

        fn failed(&self) {
            self.note("failed");
        }

        fn withdraw(&self, cause: Cause) -> Option<Withdrawal> {
            assert_eq!(cause, Cause::Timeout);
            self.note("withdrawn");
            Some(Withdrawal::new(1, 7))
        }

        fn give_back(&self, unspent: Withdrawal) {
            assert_eq!(unspent, Withdrawal::new(1, 7));
            self.note("given back");
        }
    }

    let notes = Arc::new(Notes::default());
    let timeout = Err(Failure(Outcome::timeout()));
    assert_eq!(call(9, &notes, &[timeout, Ok(1)]), (Ok(1), 2));
    notes.give_back(notes.withdraw(Cause::Timeout).unwrap());
    assert_eq!(
        *notes.0.lock().unwrap(),
        [
            "requested",
            "failed",
            "withdrawn",
            "succeeded",
            "withdrawn",
            "given back"
        ]
    );
}

#[test]
fn a_bucket_of_any_size_takes_any_refill() {
    let bucket = bucket(u32::MAX, 1).with_refill(n(u32::MAX));
    let _ = bucket.withdraw(Cause::Transient);
    bucket.succeeded(None);
    assert_eq!(bucket.tokens(), u32::MAX);
}

/// Calls of all threads together, of which each attempt fails.
fn attempts_of_threads<G: Budget + Clone + Send>(budget: &G, requests: u32) -> u32 {
    let script = Script::new([transient()]);
    let plan = Plan::new(n(30)).without_backoff();
    let retry = Retry::new(plan.with_budget(budget.clone()), judge, script.clone());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let retry = retry.clone();
            scope.spawn(move || {
                for request in 0..requests {
                    let _ = retry.clone().oneshot(request).now_or_never().unwrap();
                }
            });
        }
    });
    script.count()
}

#[test]
fn threads_spend_no_token_twice_and_leave_none() {
    for _ in 0..20 {
        assert_eq!(attempts_of_threads(&bucket(300, 1), 100), 400 + 300);
        // Requests of all threads allow for half as many retries, whoever makes them.
        let ratio = RetryRatio::new(0.5, 0).unwrap();
        let attempts = attempts_of_threads(&ratio, 100);
        assert_eq!(u64::from(attempts) + ratio.retries(), 400 + 200);
    }
}

#[test]
fn what_makes_no_budget_is_refused() {
    assert!(TokenBucket::new(n(4), n(5)).is_err());
    assert!(TokenBucket::new(n(5), n(5)).is_ok());
    assert!(bucket(9, 5).with_timeout_cost(n(10)).is_err());
    assert!(bucket(9, 5).with_throttled_cost(n(10)).is_err());
    for ratio in [0.0, 0.000_9, -1.0, 1_001.0, f64::NAN, f64::INFINITY] {
        assert!(GrpcThrottle::new(n(10), ratio).is_err(), "{ratio}");
    }
    assert!(GrpcThrottle::new(n(1_001), 0.1).is_err());
    for ratio in [-0.1, 1_001.0, f64::NAN, f64::INFINITY] {
        assert!(RetryRatio::new(ratio, 10).is_err(), "{ratio}");
    }
    assert!(RetryRatio::new(0.0, 0).is_err());
    assert!(RetryRatio::new(0.1, 1_000_001).is_err());
    for ttl in [999, 60_001] {
        assert!(RetryRatio::default().with_ttl(ms(ttl)).is_err());
    }
    assert_eq!(
        RetryRatio::new(0.0, 0).unwrap_err().to_string(),
        "a ratio and a minimum of 0 allow nothing"
    );
}

proptest! {
    #[test]
    fn a_bucket_comes_to_the_same_as_a_number(
        capacity in 1..30_u32,
        cost in 1..30_u32,
        refill in 1..9_u32,
        steps in prop::collection::vec(0..4_u8, 0..200),
    ) {
        prop_assume!(cost <= capacity);
        let bucket = bucket(capacity, cost).with_refill(n(refill));
        let mut naive = capacity;
        let mut paid = Vec::new();
        for step in steps {
            match step {
                0 => {
                    let withdrawal = bucket.withdraw(Cause::Transient);
                    prop_assert_eq!(withdrawal.is_some(), naive >= cost);
                    if let Some(withdrawal) = withdrawal {
                        naive -= cost;
                        paid.push(withdrawal);
                    }
                }
                1 => {
                    bucket.succeeded(None);
                    naive = (naive + refill).min(capacity);
                }
                other => if let Some(withdrawal) = paid.pop() {
                    if other == 2 {
                        bucket.give_back(withdrawal);
                    } else {
                        bucket.succeeded(Some(withdrawal));
                    }
                    naive = (naive + cost).min(capacity);
                }
            }
            prop_assert_eq!(bucket.tokens(), naive);
        }
    }

    #[test]
    fn a_throttle_comes_to_the_same_as_a_number(
        max in 1..20_u32,
        thousandths in 1..3_000_u32,
        steps in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let throttle = GrpcThrottle::new(n(max), f64::from(thousandths) / 1_000.0).unwrap();
        let mut naive = max * 1_000;
        for succeeds in steps {
            if succeeds {
                throttle.succeeded(None);
                naive = (naive + thousandths).min(max * 1_000);
            } else {
                throttle.failed();
                naive = naive.saturating_sub(1_000);
            }
            prop_assert_eq!(throttle.tokens(), f64::from(naive) / 1_000.0);
            let allows = throttle.withdraw(Cause::Transient).is_some();
            prop_assert_eq!(allows, naive > max * 500);
        }
    }
}
