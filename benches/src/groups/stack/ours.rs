//! Our own rows: tower's timeout, our retry with a budget, our breaker, and tower's concurrency limit.

use std::num::NonZeroU32;

use mainstay_circuit_breaker::{CircuitBreakerLayer, ConsecutiveFailures, Rules};
use mainstay_retry_backoff::{Outcome, Plan, RetryLayer};
use tower::{BoxError, ServiceBuilder};
use tower_service::Service;

use super::{AT_ONCE, ATTEMPTS, Bottom, FAILURES, TIMEOUT};
use crate::group::{Role::Ours, Row};

/// Stacks over what `bottom` makes.
pub(super) fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    vec![Row::service("mainstay", Ours, move || stack(bottom()))]
}

fn stack<S: Bottom>(
    bottom: S,
) -> impl Service<u64, Error = BoxError, Future: Send> + Clone + Send + 'static {
    let attempts = NonZeroU32::new(ATTEMPTS as u32).expect("three");
    let failures = ConsecutiveFailures::new(FAILURES as u32).expect("five");
    let judge = |result: &Result<u64, BoxError>| match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::transient(),
    };
    ServiceBuilder::new()
        .timeout(TIMEOUT)
        // With the budget of the AWS SDK, which is the default.
        .layer(RetryLayer::new(Plan::new(attempts), judge))
        .layer(CircuitBreakerLayer::new(Rules::new(failures)))
        .concurrency_limit(AT_ONCE)
        .service(bottom)
}
