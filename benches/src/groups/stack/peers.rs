//! The peers' stacks, each in the order that its errors allow.

use std::time::Duration;

use tower::ServiceBuilder;
use tower_resilience_bulkhead::{BulkheadLayer, BulkheadServiceError};
use tower_resilience_circuitbreaker::{
    CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier,
};
use tower_resilience_retry::RetryLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;
use tower_service::Service;

use super::{AT_ONCE, ATTEMPTS, Bottom, FAILURES, TIMEOUT, tower_alone};
use crate::group::{Role::Peer, Row};

pub(super) fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    vec![
        Row::service("tower, tower-resilience's breaker", Peer, move || {
            let with_breaker = ServiceBuilder::new().layer(breaker());
            tower_alone::stack(with_breaker.service(bottom()))
        }),
        Row::service("tower-resilience", Peer, move || resilience(bottom())),
    ]
}

/// Its time limiter, retry, breaker and bulkhead.
fn resilience<S: Bottom>(
    bottom: S,
) -> impl Service<u64, Error: Send, Future: Send> + Clone + Send + 'static {
    type Refused<E> = CircuitBreakerError<BulkheadServiceError<E>>;

    let timeout = TimeLimiterLayer::builder().timeout_duration(TIMEOUT);
    let retry = RetryLayer::<u64, u64, Refused<S::Error>>::builder()
        .max_attempts(ATTEMPTS)
        .fixed_backoff(Duration::ZERO);
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(AT_ONCE);
    ServiceBuilder::new()
        .layer(timeout.build())
        .layer(retry.build())
        .layer(breaker())
        .layer(bulkhead.build().expect("a limit that is not zero"))
        .service(bottom)
}

fn breaker() -> CircuitBreakerLayer<DefaultClassifier> {
    let builder = CircuitBreakerLayer::builder().consecutive_failures(FAILURES);
    builder.build().expect("a number that is not zero")
}
