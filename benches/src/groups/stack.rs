//! Timeout, retry, circuit breaker and concurrency limit, one above the other, all of whose calls succeed at once.

mod inner;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod tower_alone;

use std::{error::Error, time::Duration};

use tower_service::Service;

use self::inner::{PendingOnce, Rpc};
use crate::{
    backend::Backend,
    group::{Group, Role, Row, Scenario, Setting},
};

/// Longer than any call.
const TIMEOUT: Duration = Duration::from_secs(30);

// The same in each stack, and never reached.
const ATTEMPTS: usize = 3;
const AT_ONCE: usize = 1000;
const FAILURES: usize = 5;

pub(super) fn group() -> Group {
    Group {
        name: "stack",
        title: "Stack",
        crates: &[
            "mainstay-circuit-breaker",
            "mainstay-retry-backoff",
            "tower",
            "tower-resilience-bulkhead",
            "tower-resilience-circuitbreaker",
            "tower-resilience-retry",
            "tower-resilience-timelimiter",
            "tonic",
        ],
        scenarios: vec![
            Scenario {
                name: "ready at once",
                about: "The service at the bottom answers at once, so that a call costs what the layers cost.",
                fails_one_in: 0,
                settings: &[
                    Setting::Threads(1),
                    Setting::Threads(2),
                    Setting::Tasks {
                        tasks: 2,
                        workers: 2,
                    },
                ],
                rows: rows(|| Backend::<0>),
            },
            Scenario {
                name: "pending once",
                about: "The service at the bottom is polled twice, which no layer may take for granted.",
                fails_one_in: 0,
                settings: &[Setting::Threads(1), Setting::Threads(2)],
                rows: rows(|| PendingOnce),
            },
            Scenario {
                name: "real calls",
                about: "The service at the bottom asks a gRPC server for its health, over a Unix socket and one \
                    connection; the server shares the workers with its clients.",
                fails_one_in: 0,
                settings: &[
                    Setting::Tasks {
                        tasks: 1,
                        workers: 1,
                    },
                    Setting::Tasks {
                        tasks: 64,
                        workers: 2,
                    },
                ],
                rows: rows(Rpc::serve),
            },
        ],
    }
}

/// What stands at the bottom of a stack.
trait Bottom:
    Service<u64, Response = u64, Error: Error + Send + Sync + 'static, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Bottom for S where
    S: Service<u64, Response = u64, Error: Error + Send + Sync + 'static, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

fn rows<S: Bottom>(bottom: fn() -> S) -> Vec<Row> {
    let mut rows = vec![Row::service("bare service", Role::Floor, bottom)];
    rows.extend(ours::rows(bottom));
    rows.extend(tower_alone::rows(bottom));
    #[cfg(feature = "peers")]
    rows.extend(peers::rows(bottom));
    rows
}
