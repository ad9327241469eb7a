//! A backend that does what a test tells it, and a pool to it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_conn_pool::{Connection, Limits, Pool, PoolLayer, Times};
use tokio::time::sleep;
use tower::{Layer, Service};

/// What connections are made to.
#[derive(Clone, Default)]
pub(crate) struct Backend(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// How long connecting takes.
    pub(crate) connect_for: Duration,
    /// By how much longer than the one before it.
    pub(crate) slower_by: Duration,
    /// How long a check takes.
    pub(crate) check_for: Duration,
    /// How long closing takes.
    pub(crate) close_for: Duration,
    /// What connecting fails with.
    pub(crate) refuses: Option<&'static str>,
    /// Connecting panics.
    pub(crate) panics: bool,
    /// A connection made before this number answers no check.
    pub(crate) dead_below: u32,
    /// As `dead_below`, and says that it is broken.
    pub(crate) broken_below: u32,
    /// One made before this number is spared that.
    pub(crate) spared_below: u32,
    /// Said of connections.
    pub(crate) reusable: bool,
    /// A connection is for one at a time, though the pool shares.
    pub(crate) unshared: bool,
    /// To ask it for how many panics.
    pub(crate) panics_when_made: bool,
    /// Attempts to connect.
    pub(crate) attempts: u32,
    pub(crate) made: u32,
    /// There now, and most ever; attempts that are under way included.
    pub(crate) live: u32,
    pub(crate) peak: u32,
    pub(crate) checks: u32,
    pub(crate) checks_at_once: u32,
    pub(crate) most_checks_at_once: u32,
    pub(crate) closed: Vec<u32>,
    pub(crate) aborted: Vec<u32>,
    pub(crate) to: HashMap<&'static str, u32>,
}

pub(crate) struct Conn {
    pub(crate) id: u32,
    pub(crate) to: &'static str,
    backend: Backend,
    pub(crate) broken: bool,
    /// Counts as live for as long as it is there.
    _live: Live,
}

struct Live(Backend);

struct Checking(Backend);

#[derive(Debug)]
pub(crate) struct Refused(pub(crate) &'static str);

impl Backend {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Everything that is there now is dead, and does not know it.
    pub(crate) fn die(&self) {
        let mut state = self.state();
        state.dead_below = state.made;
    }

    /// As a process that ends: everything that is there now knows that it is dead.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        state.broken_below = state.made;
    }

    fn enter(&self) -> Live {
        let mut state = self.state();
        state.live += 1;
        state.peak = state.peak.max(state.live);
        drop(state);
        Live(self.clone())
    }

    async fn connect(self, to: &'static str) -> Result<Conn, Refused> {
        let live = self.enter();
        let connect_for = {
            let mut state = self.state();
            let slower_by = state.slower_by * state.attempts;
            state.attempts += 1;
            state.connect_for + slower_by
        };
        if !connect_for.is_zero() {
            sleep(connect_for).await;
        }
        let mut state = self.state();
        assert!(!state.panics, "connecting panics, as it was told");
        if let Some(why) = state.refuses {
            return Err(Refused(why));
        }
        let id = state.made;
        state.made += 1;
        *state.to.entry(to).or_default() += 1;
        drop(state);
        Ok(Conn {
            id,
            to,
            backend: self,
            broken: false,
            _live: live,
        })
    }
}

impl Service<()> for Backend {
    type Response = Conn;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(self.clone().connect(""))
    }
}

impl Service<&'static str> for Backend {
    type Response = Conn;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: &'static str) -> Self::Future {
        Box::pin(self.clone().connect(to))
    }
}

impl Conn {
    pub(crate) fn is_dead(&self) -> bool {
        self.id < self.backend.state().dead_below
    }

    async fn answer(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let check_for = {
            let mut state = self.backend.state();
            state.checks += 1;
            state.checks_at_once += 1;
            state.most_checks_at_once = state.most_checks_at_once.max(state.checks_at_once);
            state.check_for
        };
        let _checking = Checking(self.backend.clone());
        if !check_for.is_zero() {
            sleep(check_for).await;
        }
        let state = self.backend.state();
        if self.id < state.dead_below {
            return Err("no answer".into());
        }
        Ok(())
    }
}

impl Connection for Conn {
    fn is_broken(&self) -> bool {
        let state = self.backend.state();
        self.broken || (state.spared_below..state.broken_below).contains(&self.id)
    }

    fn is_reusable(&self) -> bool {
        self.backend.state().reusable
    }

    fn max_leases(&self) -> NonZeroU32 {
        let state = self.backend.state();
        let (unshared, panics) = (state.unshared, state.panics_when_made);
        drop(state);
        assert!(!panics, "what was made panics, as it was told");
        if unshared { n(1) } else { NonZeroU32::MAX }
    }

    async fn check(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.answer().await
    }

    async fn check_shared(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.answer().await
    }

    async fn close(self) {
        let close_for = self.backend.state().close_for;
        if !close_for.is_zero() {
            sleep(close_for).await;
        }
        self.backend.state().closed.push(self.id);
    }

    fn abort(&self) {
        self.backend.state().aborted.push(self.id);
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.state().checks_at_once -= 1;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.state().live -= 1;
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.to, self.id)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Refused {}

pub(crate) fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(crate) const fn s(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// A pool of at most so many, otherwise by the defaults.
pub(crate) fn pool(backend: &Backend, max_size: u32) -> Pool<Conn> {
    pool_with(backend, Limits::new(n(max_size)), Times::new())
}

pub(crate) fn pool_with(backend: &Backend, limits: Limits, times: Times) -> Pool<Conn> {
    PoolLayer::new(limits)
        .with_times(times)
        .with_backoff(|| std::iter::repeat(ms(100)))
        .layer(backend.clone())
}

/// Lets all tasks do what they can do now.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
