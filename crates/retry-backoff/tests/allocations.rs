//! What is allocated for a call.

use std::future::ready;
use std::num::NonZeroU32;
use std::time::Duration;

use allocation_counter::measure;
use futures_util::FutureExt;
use mainstay_retry_backoff::{
    Budget, EveryError, GrpcThrottle, Hedge, Hedging, Plan, Retry, RetryRatio, TokenBucket,
    Unlimited,
};
use tower::{Service, service_fn};

fn allocations<G: Budget + Clone>(budget: G, failures: u32) -> u64 {
    let calls = std::cell::Cell::new(0);
    let service = service_fn(|()| {
        calls.set(calls.get() + 1);
        ready(if calls.get() <= failures {
            Err(())
        } else {
            Ok(())
        })
    });
    let plan = Plan::new(NonZeroU32::new(5).unwrap())
        .without_backoff()
        .with_budget(budget);
    let mut retry = Retry::new(plan, EveryError, service);
    let counted = measure(|| retry.call(()).now_or_never().unwrap().unwrap());
    counted.count_total
}

#[test]
fn a_call_allocates_nothing_retried_or_not() {
    for failures in [0, 1, 3] {
        assert_eq!(allocations(Unlimited, failures), 0);
        assert_eq!(allocations(TokenBucket::default(), failures), 0);
        assert_eq!(allocations(RetryRatio::default(), failures), 0);
        let tokens = NonZeroU32::new(100).unwrap();
        let throttle = GrpcThrottle::new(tokens, 0.1).unwrap();
        assert_eq!(allocations(throttle, failures), 0);
    }
}

#[test]
fn a_call_that_is_not_hedged_allocates_nothing() {
    let service = service_fn(|()| ready(Ok::<_, ()>(())));
    let hedging = Hedging::new(Duration::from_secs(1));
    let mut hedge = Hedge::new(hedging, EveryError, service);
    let counted = measure(|| hedge.call(()).now_or_never().unwrap().unwrap());
    assert_eq!(counted.count_total, 0);
}
