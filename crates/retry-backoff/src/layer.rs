use std::fmt;

use tokio::time::Instant;
use tower_layer::Layer;

use crate::budget::TokenBucket;
use crate::policy::{OnlyIf, WithDeadline};
use crate::{ExponentialBackoff, Plan, Retry};

/// Makes [`Retry`] services, all of which share the plan's budget.
#[derive(Clone)]
#[must_use]
pub struct RetryLayer<P, B = ExponentialBackoff, G = TokenBucket> {
    plan: Plan<B, G>,
    policy: P,
}

impl<P, B, G> RetryLayer<P, B, G> {
    /// Retries what this policy lets, by this plan.
    pub const fn new(plan: Plan<B, G>, policy: P) -> Self {
        Self { plan, policy }
    }

    /// Retries only requests of which this is true, those that may be carried out twice for
    /// instance; all others pass through once, and are not copied.
    pub fn only_if<Req, F>(self, may_retry: F) -> RetryLayer<OnlyIf<P, F>, B, G>
    where
        F: Fn(&Req) -> bool,
    {
        RetryLayer {
            plan: self.plan,
            policy: OnlyIf {
                policy: self.policy,
                may_retry,
            },
        }
    }

    /// Never waits past this time of a request: if the next attempt would not begin before it, the
    /// last result is returned at once.
    pub fn with_deadline<Req, D>(self, deadline: D) -> RetryLayer<WithDeadline<P, D>, B, G>
    where
        D: Fn(&Req) -> Option<Instant>,
    {
        RetryLayer {
            plan: self.plan,
            policy: WithDeadline {
                policy: self.policy,
                deadline,
            },
        }
    }
}

impl<P: Clone, B: Clone, G: Clone, S> Layer<S> for RetryLayer<P, B, G> {
    type Service = Retry<P, S, B, G>;

    fn layer(&self, service: S) -> Self::Service {
        Retry::new(self.plan.clone(), self.policy.clone(), service)
    }
}

impl<P, B: fmt::Debug, G: fmt::Debug> fmt::Debug for RetryLayer<P, B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
