//! The peers' rows.

use std::{sync::Arc, time::Duration};

use backon::{ConstantBuilder, Retryable};
use layered::{Layer as _, Service as _};
use seatbelt::{
    RecoveryInfo, ResilienceContext,
    retry::{Backoff, Retry},
};
use tick::Clock;
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};
use tower_service::Service as _;

use super::{ATTEMPTS, AtFirst};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Peer, Row},
    work::Driver,
};

pub(super) fn first_try() -> Vec<Row> {
    vec![
        Row::service("tower-resilience", Peer, || {
            resilience(None).layer(Backend::<0>)
        }),
        Row::service("tower-resilience, token bucket", Peer, || {
            resilience(Some(1000)).layer(Backend::<0>)
        }),
        Row::function("backon", Peer, || {
            |request| (move || Backend::<0>.call(request)).retry(constant())
        }),
        Row::driven("seatbelt", Peer, || {
            let service = Arc::new(seatbelt().layer(Backend::<0>));
            move |request, driver: &mut Driver<'_>| driver.run(service.execute(request))
        }),
        Row::service("seatbelt, as tower service", Peer, || {
            seatbelt().layer(Backend::<0>)
        }),
    ]
}

pub(super) fn each_retried() -> Vec<Row> {
    vec![
        Row::service("tower-resilience", Peer, || {
            resilience(None).layer(AtFirst::<1>)
        }),
        Row::function("backon", Peer, || {
            |request| (move || AtFirst::<1>.call(request)).retry(constant())
        }),
        Row::service("seatbelt, as tower service", Peer, || {
            seatbelt().layer(AtFirst::<1>)
        }),
    ]
}

fn resilience(tokens: Option<usize>) -> RetryLayer<u64, u64, Failed> {
    let builder = RetryLayer::<u64, u64, Failed>::builder()
        .max_attempts(ATTEMPTS)
        .fixed_backoff(Duration::ZERO);
    let Some(tokens) = tokens else {
        return builder.build();
    };
    let bucket = RetryBudgetBuilder::new().token_bucket().max_tokens(tokens);
    builder.budget(bucket.build().expect("valid")).build()
}

fn constant() -> ConstantBuilder {
    ConstantBuilder::default()
        .with_delay(Duration::ZERO)
        .with_max_times(ATTEMPTS - 1)
}

fn seatbelt() -> seatbelt::retry::RetryLayer<u64, Result<u64, Failed>> {
    let context = ResilienceContext::new(Clock::new_tokio());
    Retry::layer("bench", &context)
        .clone_input()
        .recovery_with(|answer: &Result<u64, Failed>, _| match answer {
            Ok(_) => RecoveryInfo::never(),
            Err(_) => RecoveryInfo::retry(),
        })
        .max_retry_attempts(ATTEMPTS as u32 - 1)
        .backoff(Backoff::Constant)
        .base_delay(Duration::ZERO)
        .use_jitter(false)
}
