//! Tower's own retry.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use tower::retry::{
    Policy, Retry,
    budget::{Budget, TpsBudget},
};

use super::{ATTEMPTS, Bottom};
use crate::{
    backend::Failed,
    group::{Role::Peer, Row},
};

pub(super) fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    vec![
        without_budget(bottom),
        Row::service("tower, TpsBudget", Peer, move || {
            Retry::new(Within(Attempts(ATTEMPTS - 1), Arc::default()), bottom())
        }),
    ]
}

pub(super) fn without_budget<S: Bottom>(bottom: fn() -> S) -> Row {
    Row::service("tower", Peer, move || {
        Retry::new(Attempts(ATTEMPTS - 1), bottom())
    })
}

/// So many more may follow the first.
#[derive(Clone)]
struct Attempts(usize);

/// And as many as the budget allows, as in tower's own example.
#[derive(Clone)]
struct Within(Attempts, Arc<TpsBudget>);

impl Policy<u64, u64, Failed> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, Failed>) -> Option<Ready<()>> {
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

impl Policy<u64, u64, Failed> for Within {
    type Future = Ready<()>;

    fn retry(&mut self, request: &mut u64, result: &mut Result<u64, Failed>) -> Option<Ready<()>> {
        let Self(attempts, budget) = self;
        if result.is_ok() {
            budget.deposit();
            return None;
        }
        let retry = attempts.retry(request, result)?;
        budget.withdraw().then_some(retry)
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}
