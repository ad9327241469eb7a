use std::collections::HashMap;
use std::error::Error;
use std::future::poll_fn;
use std::hash::Hash;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;
use tracing::{debug, info, warn};

use crate::book::{Checkup, Goner, Lend, Work};
use crate::connection::Connection;
use crate::desk::Desk;
use crate::error::{ConnectAborted, ConnectTimedOut};
use crate::guards::{Attendance, Checking, Leaving, Reservation, abort_all};
use crate::lanes::Lanes;
use crate::lending::{Lending, sealed};
use crate::times::{Times, later};

/// Where a caller's delays end, or its code panics, tries go on at this pace.
const FALLBACK: Duration = Duration::from_secs(1);

/// The task that does what the book wants done: only it starts others. It ends when the pool is closed
/// and its connections are gone.
pub(crate) struct Housekeeper<M, K, B, I, R>
where
    R: Lend + Deref<Target: Connection>,
{
    pub(crate) desk: Arc<Desk<R>>,
    pub(crate) lanes: Arc<Lanes<K>>,
    pub(crate) connector: M,
    pub(crate) backoff: B,
    /// Those of lanes that fail, with the delay before.
    pub(crate) delays: HashMap<u32, (I, Duration)>,
    pub(crate) times: Times,
    pub(crate) name: Option<Arc<str>>,
    /// The tasks that connect.
    pub(crate) connecting: JoinSet<()>,
    /// Made before its task is, which may end before it begins.
    pub(crate) _attendance: Attendance<R>,
}

impl<M, K, B, I, R> Housekeeper<M, K, B, I, R>
where
    M: Service<K> + Clone + Send + 'static,
    M::Response: Connection,
    M::Error: Into<Box<dyn Error + Send + Sync>>,
    M::Future: Send,
    K: Hash + Eq + Clone + Send + Sync + 'static,
    B: Fn() -> I + Send,
    I: Iterator<Item = Duration> + Send,
    R: Lend + Deref<Target = M::Response> + Send + 'static,
{
    pub(crate) async fn run<L>(mut self)
    where
        L: Lending<M::Response> + sealed::Lending<M::Response, Ref = R>,
    {
        loop {
            let now = Instant::now();
            let work = self.desk.enter(|book, fx| book.work(now, fx));
            let (next, over) = (work.next, work.over);
            self.attend::<L>(work);
            if over {
                return;
            }
            let called = self.desk.bell.called();
            match next {
                // Called or not, there is something to do.
                Some(next) => drop(timeout_at(next, called).await),
                None => called.await,
            }
        }
    }

    fn attend<L>(&mut self, work: Work<R>)
    where
        L: Lending<M::Response> + sealed::Lending<M::Response, Ref = R>,
    {
        let Work {
            connect,
            close,
            check,
            abort,
            failed,
            recovered,
            leaks,
            empty,
            sweep,
            closed,
            next: _,
            over: _,
        } = work;
        while self.connecting.try_join_next().is_some() {}
        if closed {
            // Nobody wants them any more.
            self.connecting.abort_all();
        }
        for goner in close {
            self.close::<L>(goner);
        }
        for (slot, lane) in connect {
            self.connect::<L>(slot, lane);
        }
        for checkup in check {
            self.check::<L>(checkup);
        }
        abort_all(&self.desk, abort, self.name.as_deref());
        if sweep {
            self.sweep();
        }
        for lane in recovered {
            self.delays.remove(&lane);
            info!(name = self.name.as_deref(), "connecting works again");
        }
        for (lane, first) in failed {
            self.put_off(lane, first);
        }
        for (lent_for, place) in leaks {
            let name = self.name.as_deref();
            warn!(name, ?lent_for, %place, "connection lent for long");
        }
        for lane in self.lanes.forget(empty, &self.desk) {
            self.delays.remove(&lane);
        }
    }

    fn connect<L>(&mut self, slot: u32, lane: u32)
    where
        L: Lending<M::Response> + sealed::Lending<M::Response, Ref = R>,
    {
        let reservation = Reservation {
            desk: self.desk.clone(),
            slot,
            name: self.name.clone(),
            pending: true,
        };
        let Some(key) = self.lanes.key(lane) else {
            return;
        };
        // A panic here is one of the connector's, and no reason to end.
        let connector = AssertUnwindSafe(|| self.connector.clone());
        let Ok(connector) = catch_unwind(connector) else {
            return reservation.fail(Arc::new(ConnectAborted { panicked: true }));
        };
        let within = self.times.connect_within;
        self.connecting.spawn(async move {
            let connecting = connect(connector, (*key).clone());
            match timeout(within, connecting).await {
                Ok(Ok(connection)) => {
                    let one = L::wrap(connection);
                    if one.is_broken() {
                        reservation.spoil(one);
                    } else {
                        reservation.fill(one);
                    }
                }
                Ok(Err(cause)) => reservation.fail(cause.into()),
                Err(_) => reservation.fail(Arc::new(ConnectTimedOut { within })),
            }
        });
    }

    fn close<L>(&self, goner: Goner<R>)
    where
        L: Lending<M::Response> + sealed::Lending<M::Response, Ref = R>,
    {
        let Goner {
            slot,
            reason,
            home,
            spares,
        } = goner;
        debug!(name = self.name.as_deref(), ?reason, "connection closed");
        let leaving = Leaving {
            desk: self.desk.clone(),
            slot,
        };
        let within = self.times.close_within;
        tokio::spawn(async move {
            // It is gone before its place is free.
            let _leaving = leaving;
            drop(spares);
            if let Some(last) = home {
                // Too late or not, it is dropped.
                drop(timeout(within, L::close(last)).await);
            }
        });
    }

    fn check<L>(&self, checkup: Checkup<R>)
    where
        L: Lending<M::Response> + sealed::Lending<M::Response, Ref = R>,
    {
        let Checkup { slot, one } = checkup;
        let mut checking = Checking {
            desk: self.desk.clone(),
            slot,
            one: Some(one),
            passed: false,
        };
        let within = self.times.check_within;
        let name = self.name.clone();
        tokio::spawn(async move {
            let Some(one) = &mut checking.one else {
                return;
            };
            let name = name.as_deref();
            let passed = match timeout(within, L::check(one)).await {
                Ok(Ok(())) => !one.is_broken(),
                Ok(Err(error)) => {
                    debug!(name, error = &*error, "check failed");
                    false
                }
                Err(_) => {
                    debug!(name, ?within, "check timed out");
                    false
                }
            };
            checking.end(passed);
        });
    }

    /// Asks those that can be lent whether they are broken, one after the other.
    fn sweep(&self) {
        let (mut from, begun) = (0, Instant::now());
        while let Some(question) = self.desk.read(|book| book.ask(from, begun)) {
            from = question.slot + 1;
            let ask = AssertUnwindSafe(|| question.one.is_broken());
            let broken = catch_unwind(ask).unwrap_or(true);
            let now = Instant::now();
            self.desk
                .enter(|book, fx| book.answered(question, broken, now, fx));
        }
    }

    /// Connecting failed: asks the caller's delays when to try again.
    fn put_off(&mut self, lane: u32, first: bool) {
        let former = self.delays.remove(&lane).filter(|_| !first);
        let next = || {
            let (mut delays, former) = former.unwrap_or_else(|| ((self.backoff)(), FALLBACK));
            let delay = delays.next().unwrap_or(former);
            (delays, delay)
        };
        let delay = match catch_unwind(AssertUnwindSafe(next)) {
            Ok((delays, delay)) => {
                self.delays.insert(lane, (delays, delay));
                delay
            }
            Err(_) => FALLBACK,
        };
        let name = self.name.as_deref();
        if first {
            info!(name, retry_in = ?delay, "connecting fails");
        } else {
            debug!(name, retry_in = ?delay, "connecting fails again");
        }
        let now = Instant::now();
        self.desk
            .enter(|book, fx| book.retry(lane, later(now, delay), now, fx));
    }
}

async fn connect<M, K>(
    mut connector: M,
    key: K,
) -> Result<M::Response, Box<dyn Error + Send + Sync>>
where
    M: Service<K>,
    M::Error: Into<Box<dyn Error + Send + Sync>>,
{
    poll_fn(|cx| connector.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    connector.call(key).await.map_err(Into::into)
}
