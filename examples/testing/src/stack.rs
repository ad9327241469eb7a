use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_circuit_breaker::{CircuitBreakerLayer, ConsecutiveFailures, Open, OpenTime, Rules};
use mainstay_retry_backoff::{ConstantBackoff, Outcome, Plan, RetryLayer};
use mainstay_ttl_cache::{CacheLayer, Limits, Ttl, TtlCache};
use tower::{Service, ServiceBuilder};

use crate::BoxError;

/// Puts a cache, retries and a circuit breaker around what answers with the record of a name.
///
/// An answer is fresh for five minutes. A call has three attempts, a second apart. After five failures in a
/// row the service is left alone for ten seconds.
///
/// # Errors
/// If its own settings are invalid, which the tests show they are not.
pub fn stack<S>(
    records: S,
) -> Result<impl Service<String, Response = String, Error = BoxError, Future: Send> + Clone, BoxError>
where
    S: Service<String, Response = String, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let cache = TtlCache::new(Limits::new(1_000)?, Ttl::new(Duration::from_secs(300))?);
    let plan = Plan::new(NonZeroU32::new(3).expect("it is not zero"))
        .with_backoff(ConstantBackoff::new(Duration::from_secs(1)));
    let ten = Duration::from_secs(10);
    let rules = Rules::new(ConsecutiveFailures::new(5)?)
        .with_open_time(OpenTime::new(ten, ten)?.with_jitter(0.0)?);
    Ok(ServiceBuilder::new()
        .layer(CacheLayer::new(cache, |name: &String| {
            Some(Cow::Borrowed(name.as_str()))
        }))
        .layer(RetryLayer::new(plan, judge))
        .layer(CircuitBreakerLayer::new(rules))
        .service(records))
}

/// A refusal of the circuit is not tried again.
fn judge(result: &Result<String, BoxError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if error.is::<Open>() => Outcome::Fatal,
        Err(_) => Outcome::transient(),
    }
}
