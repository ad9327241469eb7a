use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use mainstay_circuit_breaker::{Failure, Verdict};
use mainstay_conn_pool::AcquireError;
use mainstay_retry_backoff::{Outcome, Plan, TokenBucket};
use mainstay_ttl_cache::{Limits, Ttl, TtlCache};

use super::connect::Target;
use super::error::Error;

/// Retries, with a budget for each host: one that is down does not use up that of the others.
pub(crate) struct Retries {
    plan: Plan,
    budgets: TtlCache<Target, TokenBucket, Ttl>,
}

const HOSTS: usize = 1000;
/// By then a budget is full again, or a host forgotten.
const KEPT_FOR: Duration = Duration::from_secs(3600);

impl Retries {
    pub(crate) fn new(plan: Plan) -> Self {
        let ttl = Ttl::new(KEPT_FOR).unwrap_or_else(|_| unreachable!("it is not zero"));
        let limits = Limits::new(HOSTS).unwrap_or_else(|_| unreachable!("it is not zero"));
        Self {
            plan,
            budgets: TtlCache::named("retry budgets", limits, ttl),
        }
    }

    pub(crate) fn plan(&self, target: &Target) -> Plan {
        let budget = self.budgets.get(target).unwrap_or_else(|| {
            let fresh = TokenBucket::default();
            self.budgets.insert(target.clone(), fresh.clone());
            fresh
        });
        self.plan.clone().with_budget(budget)
    }
}

/// What an attempt came to, of a request that may be sent twice.
pub(crate) fn outcome<B>(result: &Result<Response<B>, Error>) -> Outcome {
    match result {
        Ok(response) => {
            let outcome = match response.status() {
                StatusCode::TOO_MANY_REQUESTS => Outcome::throttled(),
                StatusCode::REQUEST_TIMEOUT
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Outcome::transient(),
                status if status.is_client_error() => return Outcome::Fatal,
                _ => return Outcome::Success,
            };
            match retry_after(response.headers()) {
                Some(delay) => outcome.after(delay),
                None => outcome,
            }
        }
        Err(Error::Failed(_) | Error::NoConnection(AcquireError::BackendDown(_))) => {
            Outcome::transient()
        }
        Err(_) => Outcome::Fatal,
    }
}

/// What an attempt says of its host.
pub(crate) fn verdict<B>(result: &Result<Response<B>, Error>) -> Verdict {
    match result {
        Ok(response) if response.status().is_server_error() => {
            match retry_after(response.headers()) {
                Some(delay) => Failure::default().with_retry_after(delay).into(),
                None => Verdict::failure(),
            }
        }
        Ok(_) => Verdict::Success,
        Err(Error::Failed(_) | Error::NoConnection(AcquireError::BackendDown(_))) => {
            Verdict::failure()
        }
        // The queue is our own.
        Err(_) => Verdict::Ignore,
    }
}

/// How long the server wants to be left alone: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit()) {
        // More than there can be is for ever.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // The server's clock is that of the wall.
    #[allow(
        clippy::disallowed_types,
        reason = "the date on the wire is one of the wall clock"
    )]
    let now = std::time::SystemTime::now();
    Some(date.duration_since(now).unwrap_or_default())
}
