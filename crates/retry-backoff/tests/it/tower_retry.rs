//! The backoffs and budgets in `tower::retry`.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_retry_backoff::{
    ConstantBackoff, Delays, ExponentialBackoff, GrpcThrottle, RetryRatio, TokenBucket, future,
};
use tokio::time::Instant;
use tower::retry::backoff::{Backoff, MakeBackoff};
use tower::retry::{Policy, Retry, budget::Budget};
use tower::{ServiceExt, service_fn};

/// As tower's documentation has it: each request clones the policy.
#[derive(Clone)]
struct Retries<B, G> {
    backoff: B,
    budget: G,
}

impl<B, G> Policy<(), (), ()> for Retries<B, G>
where
    B: Backoff<Future = future::Wait>,
    G: Budget,
{
    type Future = future::Wait;

    fn retry(&mut self, (): &mut (), result: &mut Result<(), ()>) -> Option<Self::Future> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        self.budget.withdraw().then(|| self.backoff.next_backoff())
    }

    fn clone_request(&mut self, (): &()) -> Option<()> {
        Some(())
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_waits_for_delays_of_its_own() {
    let mut maker =
        ExponentialBackoff::new(Duration::from_secs(1_000), Duration::from_secs(1_000)).unwrap();
    let policy = Retries {
        backoff: maker.make_backoff(),
        budget: TokenBucket::new(NonZeroU32::new(30).unwrap(), NonZeroU32::new(10).unwrap())
            .unwrap(),
    };
    let mut waits = Vec::new();
    for _ in 0..20 {
        let policy = Retries {
            budget: TokenBucket::new(NonZeroU32::new(10).unwrap(), NonZeroU32::new(10).unwrap())
                .unwrap(),
            ..policy.clone()
        };
        let begun = Instant::now();
        let failing = service_fn(|()| std::future::ready(Err::<(), ()>(())));
        let _ = Retry::new(policy, failing).oneshot(()).await;
        waits.push(begun.elapsed());
    }
    waits.sort();
    waits.dedup();
    // Of 20 draws from a million milliseconds.
    assert!(waits.len() > 18, "{waits:?}");
}

#[test]
fn without_a_delay_a_retry_goes_at_once() {
    // Outside of a runtime a timer would panic.
    let calls = std::cell::Cell::new(0);
    let failing = service_fn(|()| {
        calls.set(calls.get() + 1);
        std::future::ready(Err::<(), ()>(()))
    });
    let policy = Retries {
        backoff: ConstantBackoff::new(Duration::ZERO).make_backoff(),
        budget: TokenBucket::new(NonZeroU32::new(30).unwrap(), NonZeroU32::new(10).unwrap())
            .unwrap(),
    };
    let result = Retry::new(policy, failing).oneshot(()).now_or_never();
    assert_eq!((result, calls.get()), (Some(Err(())), 4));
}

#[test]
fn seeded_delays_are_the_same_in_each_run() {
    let make = || -> Vec<Delays> {
        let mut maker = ExponentialBackoff::default().with_seed(3);
        (0..3).map(|_| maker.make_backoff()).collect()
    };
    let draw = || -> Vec<_> { make().into_iter().map(|mut it| it.next()).collect() };
    assert_eq!(draw(), draw());
}

#[test]
fn budgets_earn_and_spend() {
    let bucket = TokenBucket::new(NonZeroU32::new(2).unwrap(), NonZeroU32::new(2).unwrap());
    let ratio = RetryRatio::new(0.5, 0).unwrap();
    for budget in [&bucket.unwrap() as &dyn Budget, &ratio] {
        while budget.withdraw() {}
        budget.deposit();
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(budget.withdraw());
        assert!(!budget.withdraw());
    }
    let throttle = GrpcThrottle::new(NonZeroU32::new(4).unwrap(), 1.0).unwrap();
    assert!(Budget::withdraw(&throttle));
    assert!(!Budget::withdraw(&throttle));
    Budget::deposit(&throttle);
    Budget::deposit(&throttle);
    assert!(Budget::withdraw(&throttle));
}
