//! Tower's own layers, without a breaker, of which it has none.

use std::future::{Ready, ready};

use tower::{BoxError, ServiceBuilder, retry::Policy};
use tower_service::Service;

use super::{AT_ONCE, ATTEMPTS, Bottom, TIMEOUT};
use crate::group::{Role::Peer, Row};

pub(super) fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    vec![Row::service("tower, no breaker", Peer, move || {
        stack(bottom())
    })]
}

/// Tower's timeout, retry, load shed and concurrency limit.
pub(super) fn stack<S: Bottom>(
    bottom: S,
) -> impl Service<u64, Error = BoxError, Future: Send> + Clone + Send + 'static {
    ServiceBuilder::new()
        .timeout(TIMEOUT)
        .retry(Attempts(ATTEMPTS - 1))
        .load_shed()
        .concurrency_limit(AT_ONCE)
        .service(bottom)
}

/// So many more may follow the first.
#[derive(Clone)]
struct Attempts(usize);

impl Policy<u64, u64, BoxError> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, BoxError>) -> Option<Ready<()>> {
        if result.is_ok() {
            return None;
        }
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}
