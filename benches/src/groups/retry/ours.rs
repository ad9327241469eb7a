//! Our own rows.

use std::num::NonZeroU32;

use mainstay_retry_backoff::{
    Budget, ConstantBackoff, EveryError, GrpcThrottle, Plan, Retry, RetryRatio, TokenBucket,
    Unlimited,
};

use super::{ATTEMPTS, Bottom};
use crate::group::{Role::Ours, Row};

pub(super) fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    let mut rows = generous(bottom);
    rows.push(Row::service("mainstay, gRPC throttle", Ours, move || {
        let tokens = NonZeroU32::new(10).expect("not zero");
        retry(bottom(), GrpcThrottle::new(tokens, 0.1).expect("valid"))
    }));
    rows.push(Row::service("mainstay, retry ratio", Ours, move || {
        retry(bottom(), RetryRatio::default())
    }));
    rows
}

/// Those that let each call be retried once.
pub(super) fn generous<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    vec![
        Row::service("mainstay", Ours, move || retry(bottom(), Unlimited)),
        Row::service("mainstay, token bucket", Ours, move || {
            retry(bottom(), TokenBucket::default())
        }),
    ]
}

fn retry<S, G: Budget>(bottom: S, budget: G) -> Retry<EveryError, S, ConstantBackoff, G> {
    let attempts = NonZeroU32::new(ATTEMPTS as u32).expect("not zero");
    let plan = Plan::new(attempts).without_backoff().with_budget(budget);
    Retry::new(plan, EveryError, bottom)
}
