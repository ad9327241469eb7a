//! Retries without a delay, whose policy and budget all callers share.

mod ours;
#[cfg(feature = "peers")]
mod peers;
mod tower_alone;

use std::{
    cell::Cell,
    future::{Ready, ready},
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    backend::{Backend, Failed},
    group::{ALONE_AND_SHARED, Group, Role, Row, Scenario, Setting},
    work::Driver,
};

/// The first one included.
const ATTEMPTS: usize = 3;

pub(super) fn group() -> Group {
    Group {
        name: "retry",
        title: "Retry",
        crates: &[
            "mainstay-retry-backoff",
            "tower",
            "tower-resilience-retry",
            "backon",
            "seatbelt",
        ],
        scenarios: vec![
            Scenario {
                name: "first try succeeds",
                about: "All calls succeed at once.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: first_try(),
            },
            Scenario {
                name: "1 % retried",
                about: "One call in a hundred fails and succeeds when it is made again, at once; the bare service is \
                    called again by hand. The peers that are not here wait for a timer first.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: retried::<100>(),
            },
            Scenario {
                name: "one retry",
                about: "Each call fails once and succeeds when it is made again, with a backoff of zero; the bare \
                    service is called again by hand. Budgets are left out that do not allow for so many retries.",
                fails_one_in: 0,
                settings: &[Setting::Tasks {
                    tasks: 1,
                    workers: 1,
                }],
                rows: each_retried(),
            },
        ],
    }
}

/// Over a service that never fails.
fn first_try() -> Vec<Row> {
    let floor = Row::service("bare service", Role::Floor, || Backend::<0>);
    let mut rows = vec![floor];
    rows.extend(ours::rows(|| Backend::<0>));
    rows.extend(tower_alone::rows(|| Backend::<0>));
    #[cfg(feature = "peers")]
    rows.extend(peers::first_try());
    rows
}

/// Over a service of which one call in so many fails at first.
fn retried<const ONE_IN: u64>() -> Vec<Row> {
    let mut rows = vec![called_again::<ONE_IN>()];
    rows.extend(ours::rows(|| AtFirst::<ONE_IN>));
    rows.extend(tower_alone::rows(|| AtFirst::<ONE_IN>));
    rows
}

/// Over a service whose every call fails at first.
fn each_retried() -> Vec<Row> {
    let mut rows = vec![called_again::<1>()];
    rows.extend(ours::generous(|| AtFirst::<1>));
    rows.push(tower_alone::without_budget(|| AtFirst::<1>));
    #[cfg(feature = "peers")]
    rows.extend(peers::each_retried());
    rows
}

fn called_again<const ONE_IN: u64>() -> Row {
    Row::driven("bare service", Role::Floor, || {
        |request, _: &mut Driver<'_>| {
            let service = AtFirst::<ONE_IN>;
            service.answer(request).or_else(|_| service.answer(request))
        }
    })
}

/// As [`Backend`], but what has failed succeeds when its thread asks again.
#[derive(Clone, Copy)]
struct AtFirst<const ONE_IN: u64>;

impl<const ONE_IN: u64> AtFirst<ONE_IN> {
    fn answer(self, request: u64) -> Result<u64, Failed> {
        thread_local! {
            static FAILED: Cell<u64> = const { Cell::new(u64::MAX) };
        }

        Backend::<ONE_IN>.answer(request).or_else(|error| {
            if FAILED.replace(request) == request {
                FAILED.set(u64::MAX);
                return Ok(request);
            }
            Err(error)
        })
    }
}

impl<const ONE_IN: u64> Service<u64> for AtFirst<ONE_IN> {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(self.answer(request))
    }
}

#[cfg(feature = "peers")]
impl<const ONE_IN: u64> layered::Service<u64> for AtFirst<ONE_IN> {
    type Out = Result<u64, Failed>;

    async fn execute(&self, request: u64) -> Self::Out {
        self.answer(request)
    }
}

/// What they all retry.
trait Bottom:
    Service<u64, Response = u64, Error = Failed, Future = Ready<Result<u64, Failed>>>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Bottom for S where
    S: Service<u64, Response = u64, Error = Failed, Future = Ready<Result<u64, Failed>>>
        + Clone
        + Send
        + Sync
        + 'static
{
}
