//! Call again, at the right time, within a budget: retries and hedging for tower services.
//!
//! Wrap a service whose failures may pass in a [`RetryLayer`], if its requests can be sent twice. A
//! [`Policy`] says what an attempt has come to, a [`Plan`] how often and when there is another. By
//! default its delays have full jitter, and its budget lets retries mend a brownout but all but
//! stops them in an outage. [`HedgeLayer`] sends a second attempt while the first one is slow.
//!
//! **A retry is paid for exactly when it is sent.** What a budget has lent for one that cannot be
//! sent, or whose caller has gone, is given back.
//!
//! ```
//! use mainstay_retry_backoff::{Outcome, Plan, RetryLayer, TokenBucket};
//! use tower::{Service, ServiceBuilder, service_fn};
//! # use std::{num::NonZeroU32, sync::atomic::{AtomicU32, Ordering}};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let calls = AtomicU32::new(0);
//! let failing = service_fn(|(): ()| async { Err::<(), _>(calls.fetch_add(1, Ordering::Relaxed)) });
//!
//! let bucket = TokenBucket::new(NonZeroU32::new(10).unwrap(), NonZeroU32::new(5).unwrap())?;
//! let plan = Plan::new(NonZeroU32::new(9).unwrap()).with_budget(bucket.clone());
//! let judge = |result: &Result<(), u32>| match result {
//!     Ok(()) => Outcome::Success,
//!     Err(_) => Outcome::transient(),
//! };
//! let mut service = ServiceBuilder::new().layer(RetryLayer::new(plan, judge)).service(failing);
//!
//! // Two retries use the budget up; then the last result is returned, and nothing is retried.
//! assert_eq!(service.call(()).await, Err(2));
//! assert_eq!(bucket.tokens(), 0);
//! assert_eq!(service.call(()).await, Err(3));
//! # Ok(()) }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Plan::new`]: attempts, the first one included | [`Plan::default`]: 3 |
//! | [`Plan::with_backoff`]: [`ExponentialBackoff`], [`ConstantBackoff`], any iterator of delays | 50 ms to 20 s, doubling, full jitter |
//! | [`Plan::with_budget`]: [`TokenBucket`], [`RetryRatio`], [`GrpcThrottle`], [`Unlimited`], yours | a [`TokenBucket`] of 500, 5 a retry |
//! | [`Plan::with_total_time`]: no retry begins later | none |
//! | [`Plan::with_ready_within`]: how long a retry waits for the service below | 100 ms |
//! | [`Plan::with_longest_hint`]: a server that asks for more is not waited for | 1 minute |
//! | [`Plan::with_transparent_retries`]: of what never left, on the last attempt too | not |
//! | [`RetryLayer::only_if`]: which requests are retried | all that the policy copies |
//! | [`RetryLayer::with_deadline`]: when a request's caller gives up; never waited past | none |
//!
//! A hint of the server ([`Outcome::after`]) takes the place of the backoff's delay. A retry without
//! a delay goes at once, without a timer. A retry or hedge that is waited for has two milliseconds to
//! spare before the deadline, since a timer may be as late. A request is copied only while another
//! attempt may follow by number, which on the last one it may only with transparent retries (before
//! it is needed neither clock nor backoff is asked whether there is time for one); and the service
//! below is cloned only if there is a copy. A limit for each attempt is tower's `timeout`, below.
//!
//! [`Engine`] is the same without tower, for outcomes that are known only later. With the feature
//! `tower`, backoffs and budgets serve `tower::retry` as well.
//!
//! # Clone
//! Clones share the budget, those of a [`Hedging`] the latencies and of a [`SeededBackoff`] the seeds;
//! and whatever the clones of your policy share. Cloning a budget of ours is no locked instruction in
//! as many threads as can be at work; its memory is not freed, but kept for the next one that is
//! made. The service below must be [`Clone`]: a request that may be retried or hedged takes a clone
//! along until its future is dropped, and gets it ready only when it is to be called.
//!
//! # Cancel safety
//! Dropping a future drops the attempt that is under way, and there is no other. A withdrawal for a
//! retry that was still waited for is given back; one that was sent stays paid.
//!
//! # Readiness
//! That of the service below. A retry waits for it no longer than it was given, and then the last
//! result is returned; which is kept until then, with all that it holds. A hedge gives up sooner if
//! nothing else is under way.
//!
//! # Panics
//! Calling without readiness is answered as the service below answers it. A future panics when it is
//! polled after completion, and outside of tokio's runtime, with its time enabled, when there is
//! something to wait for: a delay, or a service that is not ready. A panic of a policy, a budget or
//! the service below is passed on, and what was withdrawn for a retry not yet sent is given back.
//!
//! # Errors
//! Those of the service below, unchanged: these layers add none.

mod backoff;
mod budget;
mod deadline;
mod engine;
pub mod future;
mod hedge;
mod layer;
mod outcome;
mod plan;
mod policy;
mod random;
mod service;
mod shared;
mod spares;
mod sync;
#[cfg(feature = "tower")]
mod tower_retry;

pub use backoff::{
    ConstantBackoff, Delays, ExponentialBackoff, InvalidBackoff, Jitter, SeededBackoff,
};
pub use budget::{
    Budget, Cause, GrpcThrottle, InvalidBudget, RetryRatio, SpendOnly, TokenBucket, Unlimited,
    Withdrawal,
};
pub use engine::{Decision, Engine, Stop};
pub use hedge::{Hedge, HedgeLayer, Hedging, InvalidHedging};
pub use layer::RetryLayer;
pub use outcome::Outcome;
pub use plan::Plan;
pub use policy::{EveryError, OnlyIf, Policy, WithDeadline};
pub use service::Retry;
