//! What each budget makes of an outage and of a brownout: a thousand requests a second, up to four
//! attempts each, which fail independently of one another. Once through the layer, and once by what
//! each budget is said to do, in numbers; and the published table beside the two.

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

/// The budgets in plain numbers.
#[derive(Clone)]
enum Naive {
    Unlimited,
    Bucket {
        tokens: u32,
        cost: u32,
    },
    Throttle {
        thousandths: u32,
    },
    Ratio {
        thousandths: i64,
        reserve: i64,
        kept: Vec<(u64, i64)>,
    },
}

impl Naive {
    fn bucket(cost: u32) -> Self {
        Self::Bucket { tokens: 500, cost }
    }

    fn ratio(thousandths: i64, per_second: i64) -> Self {
        Self::Ratio {
            thousandths,
            reserve: per_second * 10_000,
            kept: Vec::new(),
        }
    }

    fn requested(&mut self, second: u64) {
        if let Self::Ratio {
            thousandths, kept, ..
        } = self
        {
            // One entry for each second, of which ten count.
            kept.retain(|(then, _)| then + 10 > second);
            match kept.last_mut() {
                Some((then, sum)) if *then == second => *sum += *thousandths,
                _ => kept.push((second, *thousandths)),
            }
        }
    }

    fn failed(&mut self) {
        if let Self::Throttle { thousandths } = self {
            *thousandths = thousandths.saturating_sub(1_000);
        }
    }

    fn succeeded(&mut self, attempt: u32) {
        match self {
            Self::Bucket { tokens, cost } => {
                let earned = if attempt == 1 { 1 } else { *cost };
                *tokens = (*tokens + earned).min(500);
            }
            Self::Throttle { thousandths } => *thousandths = (*thousandths + 100).min(10_000),
            Self::Unlimited | Self::Ratio { .. } => {}
        }
    }

    fn withdraw(&mut self) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Bucket { tokens, cost } => {
                let left = tokens.checked_sub(*cost);
                *tokens = left.unwrap_or(*tokens);
                left.is_some()
            }
            Self::Throttle { thousandths } => *thousandths > 5_000,
            Self::Ratio { reserve, kept, .. } => {
                let sum: i64 = kept.iter().map(|(_, sum)| sum).sum();
                let is_there = sum + *reserve >= 1_000;
                if is_there {
                    kept.last_mut().unwrap().1 -= 1_000;
                }
                is_there
            }
        }
    }

    /// The same requests as `measure` makes, which fail by the same draws.
    fn measure(mut self, failing: f64) -> (f64, f64) {
        let (mut millis, mut attempts, mut succeeded) = (0, 0_u32, 0);
        for seed in 0..=SEEDS {
            let mut random = Random(seed);
            if seed == 1 {
                (attempts, succeeded) = (0, 0);
            }
            for request in 0..if seed == 0 { WARM_UP } else { REQUESTS } {
                if request % 10 == 0 {
                    millis += 10;
                }
                self.requested(millis / 1_000);
                for attempt in 1..=4 {
                    attempts += 1;
                    if random.uniform() >= failing {
                        self.succeeded(attempt);
                        succeeded += 1;
                        break;
                    }
                    self.failed();
                    if attempt == 4 || !self.withdraw() {
                        break;
                    }
                }
            }
        }
        each_request(attempts, succeeded)
    }
}

/// Attempts for one, and how many in a hundred succeeded.
fn each_request(attempts: u32, succeeded: u32) -> (f64, f64) {
    let requests = f64::from(REQUESTS) * SEEDS as f64;
    (
        f64::from(attempts) / requests,
        f64::from(succeeded) / requests * 100.0,
    )
}

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
    each_request(attempts.get(), succeeded)
}

/// Within five parts in a hundred.
fn is_close(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 0.05 * expected + f64::EPSILON
}

async fn assert_rows<G: Budget + Clone>(rows: [Row; 7], naive: Naive, budget: impl Fn() -> G) {
    for (failing, attempts, succeeded) in rows {
        let (its_attempts, its_succeeded) = measure(budget(), failing).await;
        let measured = format!(
            "{failing} failing: {its_attempts:.4} attempts, {its_succeeded:.2} % succeeded"
        );
        let (expected_attempts, expected_succeeded) = naive.clone().measure(failing);
        assert!(
            is_close(its_attempts - 1.0, expected_attempts - 1.0)
                && is_close(its_succeeded, expected_succeeded),
            "{measured}, not {expected_attempts:.4} and {expected_succeeded:.2}"
        );
        // The table was made with other draws, and is rounded.
        assert!(
            (its_attempts - attempts).abs() < 0.01 && (its_succeeded - succeeded).abs() < 1.5,
            "{measured}, not {attempts} and {succeeded}"
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
    assert_rows(rows, Naive::Unlimited, || Unlimited).await;
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
    assert_rows(rows, Naive::ratio(200, 10), RetryRatio::default).await;
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
    let naive = Naive::ratio(100, 0);
    assert_rows(rows, naive, || RetryRatio::new(0.1, 0).unwrap()).await;
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
    let naive = Naive::Throttle {
        thousandths: 10_000,
    };
    assert_rows(rows, naive, || GrpcThrottle::new(tokens, 0.1).unwrap()).await;
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
    assert_rows(rows, Naive::bucket(5), TokenBucket::default).await;
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
    let naive = Naive::bucket(14);
    assert_rows(rows, naive, || TokenBucket::new(capacity, cost).unwrap()).await;
}
