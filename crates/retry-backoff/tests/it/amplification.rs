//! What each budget makes of an outage and of a brownout: a thousand requests a second, up to four
//! attempts each, which fail independently of one another.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_retry_backoff::{
    Budget, GrpcThrottle, Outcome, Plan, Retry, RetryRatio, TokenBucket, Unlimited,
};
use tokio::time::advance;
use tower::{Service, service_fn};

use crate::random::Random;

/// The probability of a failure; attempts for each request, and requests in a hundred that succeed.
type Row = (f64, f64, f64);

const SEEDS: u64 = 20;
/// Two seconds of them for each seed: as a whole a multiple of what a budget remembers.
const REQUESTS: u32 = 2_000;
/// By then a full bucket is empty, and a ratio has come to its balance.
const WARM_UP: u32 = 10_000;

async fn measure<G: Budget + Clone>(budget: G, failing: f64) -> (f64, f64) {
    let random = RefCell::new(Random(0));
    let attempts = Cell::new(0_u32);
    let fails = service_fn(|(): ()| {
        attempts.set(attempts.get() + 1);
        let fails = random.borrow_mut().uniform() < failing;
        std::future::ready(if fails { Err(()) } else { Ok(()) })
    });
    let judge = |result: &Result<(), ()>| match result {
        Ok(()) => Outcome::Success,
        Err(()) => Outcome::transient(),
    };
    let plan = Plan::new(NonZeroU32::new(4).unwrap())
        .without_backoff()
        .with_budget(budget);
    let mut client = Retry::new(plan, judge, fails);
    let mut succeeded = 0;
    for seed in 0..=SEEDS {
        random.replace(Random(seed));
        let requests = if seed == 0 { WARM_UP } else { REQUESTS };
        for request in 0..requests {
            if request % 10 == 0 {
                advance(Duration::from_millis(10)).await;
            }
            succeeded += u32::from(client.call(()).await.is_ok());
        }
        if seed == 0 {
            attempts.set(0);
            succeeded = 0;
        }
    }
    let requests = f64::from(REQUESTS) * SEEDS as f64;
    (
        f64::from(attempts.get()) / requests,
        f64::from(succeeded) / requests * 100.0,
    )
}

async fn assert_rows<G: Budget + Clone>(rows: [Row; 7], budget: impl Fn() -> G) {
    for (failing, attempts, succeeded) in rows {
        let (its_attempts, its_succeeded) = measure(budget(), failing).await;
        assert!(
            (its_attempts - attempts).abs() < 0.01 && (its_succeeded - succeeded).abs() < 1.5,
            "{failing} failing: {its_attempts:.4} attempts and {its_succeeded:.2} % succeeded, not \
             {attempts} and {succeeded}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_an_outage_is_multiplied() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.053, 100.0),
        (0.1, 1.111, 99.98),
        (0.2, 1.247, 99.87),
        (0.5, 1.878, 93.8),
        (0.9, 3.44, 34.7),
        (1.0, 4.0, 0.0),
    ];
    assert_rows(rows, || Unlimited).await;
}

#[tokio::test(start_paused = true)]
async fn a_ratio_adds_its_share_and_no_more() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.053, 100.0),
        (0.1, 1.111, 99.98),
        (0.2, 1.21, 96.8),
        (0.5, 1.21, 60.7),
        (0.9, 1.21, 12.3),
        (1.0, 1.21, 0.0),
    ];
    assert_rows(rows, RetryRatio::default).await;
}

#[tokio::test(start_paused = true)]
async fn a_ratio_of_a_tenth_without_a_minimum_adds_a_tenth() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.053, 100.0),
        (0.1, 1.1, 99.0),
        (0.2, 1.1, 88.1),
        (0.5, 1.1, 55.2),
        (0.9, 1.1, 11.0),
        (1.0, 1.1, 0.0),
    ];
    assert_rows(rows, || RetryRatio::new(0.1, 0).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn grpcs_throttle_stops_all_retries_early() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.052, 99.95),
        (0.1, 1.023, 92.2),
        (0.2, 1.0, 80.1),
        (0.5, 1.0, 50.2),
        (0.9, 1.0, 10.0),
        (1.0, 1.0, 0.0),
    ];
    let tokens = NonZeroU32::new(10).unwrap();
    assert_rows(rows, || GrpcThrottle::new(tokens, 0.1).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_bucket_mends_a_brownout_and_adds_nothing_to_an_outage() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.053, 100.0),
        (0.1, 1.111, 99.98),
        (0.2, 1.247, 99.87),
        (0.5, 1.202, 60.3),
        (0.9, 1.023, 10.2),
        (1.0, 1.0, 0.0),
    ];
    assert_rows(rows, TokenBucket::default).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_bucket_with_dearer_retries_adds_less() {
    let rows = [
        (0.01, 1.011, 100.0),
        (0.05, 1.053, 100.0),
        (0.1, 1.111, 99.98),
        (0.2, 1.247, 99.87),
        (0.5, 1.072, 53.8),
        (0.9, 1.008, 10.1),
        (1.0, 1.0, 0.0),
    ];
    let [capacity, cost] = [500, 14].map(|it| NonZeroU32::new(it).unwrap());
    assert_rows(rows, || TokenBucket::new(capacity, cost).unwrap()).await;
}
