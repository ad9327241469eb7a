//! Pools of eight connections, which cost nothing to make, to check or to use.

mod ours;
#[cfg(feature = "peers")]
mod peers;
pub(super) mod waits;

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Semaphore, task::yield_now};

use crate::{
    group::{ALONE_AND_SHARED, Group, Role, Row, Scenario, Setting},
    work::{Caller, Driver},
};

const SIZE: usize = 8;

/// More callers than connections.
const CROWD: &[Setting] = &[
    Setting::Tasks {
        tasks: 64,
        workers: 1,
    },
    Setting::Tasks {
        tasks: 64,
        workers: 2,
    },
];

pub(super) fn group() -> Group {
    Group {
        name: "pool",
        title: "Connection pool",
        crates: &["mainstay-conn-pool", "deadpool", "bb8", "mobc", "asyncband"],
        scenarios: vec![
            Scenario {
                name: "not waited for",
                about: "A connection is lent and given back, and there always is one. Peers' deadlines and lifetimes are \
                        on where they have them.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: rows(),
            },
            Scenario {
                name: "waited for",
                about: "64 tasks want one of eight connections, and keep it while they yield once.",
                fails_one_in: 0,
                settings: CROWD,
                rows: rows(),
            },
        ],
    }
}

fn rows() -> Vec<Row> {
    let mut rows = vec![row("semaphore and vector", Role::Floor, floor)];
    rows.extend(ours::rows());
    #[cfg(feature = "peers")]
    rows.extend(peers::rows());
    rows
}

/// What lends: one cycle is a connection lent and given back.
trait Lends: Send + Sync + 'static {
    /// Whether one was lent, for as long as something takes.
    fn cycle(
        &self,
        meanwhile: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = bool> + Send;
}

/// A caller of what lends.
struct Borrower<P>(Arc<P>);

fn row<P: Lends>(name: &'static str, role: Role, make: impl Fn() -> P + 'static) -> Row {
    Row::new(name, role, move || Borrower(Arc::new(make())))
}

/// What a pool comes down to, with nothing that makes it one.
struct Floor {
    permits: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

/// As large as a small handle of a connection.
#[derive(Default)]
struct Connection([u64; 4]);

fn floor() -> Floor {
    let connections = (0..SIZE).map(|_| Connection::default());
    Floor {
        permits: Semaphore::new(SIZE),
        connections: Mutex::new(connections.collect()),
    }
}

impl Lends for Floor {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(_permit) = self.permits.acquire().await else {
            return false;
        };
        let lock = || {
            self.connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let Some(mut connection) = lock().pop() else {
            return false;
        };
        connection.0[0] += 1;
        meanwhile.await;
        lock().push(connection);
        true
    }
}

impl<P: Lends> Caller for Borrower<P> {
    #[inline(never)]
    fn run(&mut self, calls: u64) -> u64 {
        Driver::with(|driver| {
            let mut lent = 0;
            for _ in 0..calls {
                lent += u64::from(driver.run(self.0.cycle(ready(()))));
            }
            lent
        })
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        let pool = self.0.clone();
        Box::pin(async move {
            let mut lent = 0;
            for _ in 0..calls {
                lent += u64::from(pool.cycle(yield_now()).await);
            }
            lent
        })
    }
}

impl<P> Clone for Borrower<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
