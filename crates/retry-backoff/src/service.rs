use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower_service::Service;

use crate::budget::{Budget, TokenBucket};
use crate::future::ResponseFuture;
use crate::policy::Policy;
use crate::{ExponentialBackoff, Plan};

/// Sends requests again that failed.
///
/// See the [crate's documentation](crate) for what it guarantees.
#[derive(Clone)]
pub struct Retry<P, S, B = ExponentialBackoff, G = TokenBucket> {
    plan: Plan<B, G>,
    policy: P,
    service: S,
}

impl<P, S, B, G> Retry<P, S, B, G> {
    /// Retries what this policy lets, by this plan.
    pub const fn new(plan: Plan<B, G>, policy: P, service: S) -> Self {
        Self {
            plan,
            policy,
            service,
        }
    }

    /// The service below.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.service
    }

    /// The service below.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// The service below.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<P, S, B, G, Req> Service<Req> for Retry<P, S, B, G>
where
    P: Policy<Req, S::Response, S::Error> + Clone,
    S: Service<Req> + Clone,
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<P, S, Req, B, G>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let mut policy = self.policy.clone();
        let deadline = policy.deadline(&request);
        let mut engine = self.plan.start(deadline, Instant::now);
        let copy = if engine.may_retry() {
            policy.copy(&request)
        } else {
            None
        };
        if copy.is_none() {
            engine.commit();
        }
        policy.prepare(&mut request, engine.attempt());
        // The clone is for retries, and readied then: this handle is the one that is ready. The future
        // keeps it from here on, through waits as well, since there is none but the caller's to make
        // another from; it is not ready meanwhile, and so has no place below that others want.
        let again = copy.map(|copy| (copy, self.service.clone()));
        let future = self.service.call(request);
        ResponseFuture::called(
            future,
            again,
            policy,
            engine,
            self.plan.ready_within,
            self.plan.name,
        )
    }
}

// A policy is often a closure, which is not Debug.
impl<P, S: fmt::Debug, B: fmt::Debug, G: fmt::Debug> fmt::Debug for Retry<P, S, B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("plan", &self.plan)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
