use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::book::ONLY;
use crate::checkout::{Checkout, CheckoutResponse};
use crate::connection::Connection;
use crate::desk::Desk;
use crate::dispatch::{Dispatch, DispatchBy};
use crate::error::{AcquireError, NotDrained};
use crate::guards::abort_all;
use crate::in_flight::Serves;
use crate::lanes::Lanes;
use crate::lease::{Home, Lease};
use crate::lending::{Lending, Whole};
use crate::limits::InvalidLimits;
use crate::snapshot::{CloseReason, Snapshot};
use crate::times::later;

/// Connections to lend, made by a [`PoolLayer`](crate::PoolLayer).
///
/// `C` is the connection, `K` what tells targets apart (`()` where there is one), `L` how connections
/// are lent: [`Whole`] or [`Shared`](crate::Shared).
///
/// As a [`Service`] it answers a target with a [`Lease`]; it is always ready. The place of checkout is
/// then that of the call, which under other services is in their code, and says little.
pub struct Pool<C: Connection, K = (), L: Lending<C> = Whole> {
    shared: Arc<Shared<C, K, L>>,
}

/// Closes the pool with the last of its handles.
struct Shared<C: Connection, K, L: Lending<C>> {
    desk: Arc<Desk<L::Ref>>,
    lanes: Arc<Lanes<K>>,
    name: Option<Arc<str>>,
}

impl<C: Connection, L: Lending<C>> Pool<C, (), L> {
    /// A connection: the one that was given back last, or, where they are shared, the least loaded;
    /// or else a new one or the next that comes free, in the order in which callers came.
    ///
    /// # Errors
    /// See [`AcquireError`].
    ///
    /// # Cancel safety
    /// Dropped, it leaves the queue; what it may have got goes to the next in it. A connection that
    /// is being made for it is made all the same.
    #[track_caller]
    pub fn acquire(&self) -> Checkout<'_, C, (), L> {
        Checkout::borrowed(self, ONLY, Location::caller())
    }

    /// As [`acquire`](Self::acquire), for a lease and a wait that outlive this handle.
    #[track_caller]
    pub fn acquire_owned(self) -> Checkout<'static, C, (), L> {
        Checkout::owned(self, ONLY, Location::caller())
    }

    /// A connection, if there is one for which nobody waits and that needs no check. None either while
    /// the only one, long idle, is just being [asked](crate::Times::with_sweep_every) whether it is broken.
    #[track_caller]
    #[must_use]
    pub fn try_acquire(&self) -> Option<Lease<'_, C, L>> {
        self.try_acquire_in(ONLY, Location::caller())
    }

    /// A service that sends each request over a connection that is lent for it. The place of this call
    /// is said of its leases.
    #[track_caller]
    #[must_use]
    pub fn dispatch(&self) -> Dispatch<C, L>
    where
        L: Serves<C>,
    {
        Dispatch::new(self.clone(), Location::caller())
    }

    /// Waits until there are as many connections as the pool keeps.
    ///
    /// # Errors
    /// As soon as making one fails, which goes on in the background nevertheless; or if the pool is
    /// closed.
    pub async fn warm_up(&self) -> Result<(), AcquireError> {
        let failures = self.shared.desk.read(|book| book.failures());
        loop {
            let told = self.shared.desk.bell.told();
            let now = Instant::now();
            if self.shared.desk.read(|book| book.is_warm(failures, now))? {
                return Ok(());
            }
            told.await;
        }
    }
}

impl<C: Connection, K: Hash + Eq, L: Lending<C>> Pool<C, K, L> {
    /// A connection to this target, as [`acquire`](Pool::acquire) where there is one target only.
    ///
    /// # Errors
    /// See [`AcquireError`].
    ///
    /// # Cancel safety
    /// As for `acquire`.
    #[track_caller]
    pub fn acquire_for(&self, target: K) -> Checkout<'_, C, K, L> {
        let lane = self.shared.lanes.hold(target, &self.shared.desk);
        Checkout::borrowed(self, lane, Location::caller())
    }

    /// As [`acquire_for`](Self::acquire_for), for a lease and a wait that outlive this handle.
    #[track_caller]
    pub fn acquire_owned_for(self, target: K) -> Checkout<'static, C, K, L> {
        self.checkout_for(target, Location::caller())
    }

    pub(crate) fn checkout_for(
        self,
        target: K,
        place: &'static Location<'static>,
    ) -> Checkout<'static, C, K, L> {
        let lane = self.shared.lanes.hold(target, &self.shared.desk);
        Checkout::owned(self, lane, place)
    }

    /// A service that sends each request over a connection that is lent for it, to the target that
    /// `key` says. The place of this call is said of its leases.
    #[track_caller]
    #[must_use]
    pub fn dispatch_by<F>(&self, key: F) -> DispatchBy<C, K, F, L>
    where
        L: Serves<C>,
    {
        DispatchBy::new(self.clone(), key, Location::caller())
    }

    /// A connection to this target, if there is one for which nobody waits and that needs no check.
    #[track_caller]
    #[must_use]
    pub fn try_acquire_for(&self, target: K) -> Option<Lease<'_, C, L>> {
        let Shared { desk, lanes, .. } = &*self.shared;
        let lane = lanes.hold(target, desk);
        let lease = self.try_acquire_in(lane, Location::caller());
        lanes.let_go(lane, desk);
        lease
    }
}

impl<C: Connection, K, L: Lending<C>> Pool<C, K, L> {
    pub(crate) fn new(
        desk: Arc<Desk<L::Ref>>,
        lanes: Arc<Lanes<K>>,
        name: Option<Arc<str>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared { desk, lanes, name }),
        }
    }

    /// What it is, and what it has done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        self.shared.desk.read(|book| book.snapshot(now))
    }

    /// The name that its events and refusals bear.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    /// How many targets it has connections to, or knows something of.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.shared.lanes.len()
    }

    /// Changes how many connections it may have. Of those above it, idle ones are closed at once, and
    /// lent ones when they are given back; shared ones drain.
    ///
    /// # Errors
    /// If it is less than the minimum.
    pub fn resize(&self, max_size: NonZeroU32) -> Result<(), InvalidLimits> {
        let now = Instant::now();
        let resize = |done: bool| done.then_some(()).ok_or(InvalidLimits::MIN_ABOVE_MAX);
        resize(
            self.shared
                .desk
                .enter(|book, fx| book.resize(max_size.get(), now, fx)),
        )
    }

    /// Retires all connections that there are: idle ones are closed at once, and lent ones when they
    /// are given back; shared ones drain. For a backend that has restarted, or has moved.
    pub fn retire_all(&self) {
        let now = Instant::now();
        self.shared
            .desk
            .enter(|book, fx| book.retire_all(CloseReason::Retired, now, fx));
    }

    /// Replaces all connections that there are, as if they had reached their lifetime: one that is
    /// needed goes when another is ready, if the maximum has room for that, or else one at a time. With
    /// no room a shared one drains before its successor is begun, and who comes meanwhile waits.
    pub fn replace_all(&self) {
        let now = Instant::now();
        self.shared.desk.enter(|book, fx| book.replace_all(now, fx));
    }

    /// Closes the pool, as dropping its last handle does: no more leases, and who waits is told.
    /// Connections are closed as soon as nobody has them, and those being made are given up.
    pub fn close(&self) {
        let now = Instant::now();
        self.shared.desk.enter(|book, fx| book.close(now, fx));
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.desk.read(|book| book.is_closed())
    }

    /// Closes the pool and waits until all connections are closed.
    ///
    /// # Errors
    /// If that takes longer than `within`. Then shared connections that are lent have been
    /// [aborted](Connection::abort), and others are closed when they are given back.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the pool closed, and those who have connections as they are.
    pub async fn drain(&self, within: Duration) -> Result<(), NotDrained> {
        self.close();
        let desk = &self.shared.desk;
        let until = later(Instant::now(), within);
        loop {
            let told = desk.bell.told();
            if desk.read(|book| book.is_drained()) {
                return Ok(());
            }
            if timeout_at(until, told).await.is_err() {
                break;
            }
        }
        let (sizes, left) = desk.enter(|book, fx| (book.sizes(), book.abandon_all(fx)));
        abort_all(desk, left, self.name());
        // The housekeeper may be about others.
        loop {
            let told = desk.bell.told();
            if !desk.read(|book| book.is_aborting()) {
                break;
            }
            told.await;
        }
        Err(NotDrained { sizes })
    }

    #[track_caller]
    fn try_acquire_in(
        &self,
        lane: u32,
        place: &'static Location<'static>,
    ) -> Option<Lease<'_, C, L>> {
        let desk = &self.shared.desk;
        let now = Instant::now();
        loop {
            let grant = desk.enter(|book, fx| book.try_acquire(lane, now, place, fx))?;
            let lease: Lease<'_, C, L> = Lease::new(Home::Borrowed(desk), grant);
            if !lease.is_broken() {
                return Some(lease);
            }
        }
    }

    pub(crate) fn desk(&self) -> &Arc<Desk<L::Ref>> {
        &self.shared.desk
    }

    pub(crate) fn lanes(&self) -> &Lanes<K> {
        &self.shared.lanes
    }
}

impl<C: Connection, K: Hash + Eq + 'static, L: Lending<C>> Service<K> for Pool<C, K, L> {
    type Response = Lease<'static, C, L>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = CheckoutResponse<C, K, L>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    #[track_caller]
    fn call(&mut self, target: K) -> Self::Future {
        CheckoutResponse::new(self.clone().acquire_owned_for(target))
    }
}

impl<C: Connection, K, L: Lending<C>> fmt::Debug for Pool<C, K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .field("sizes", &self.shared.desk.read(|book| book.sizes()))
            .finish_non_exhaustive()
    }
}

/// Shares the connections; `K` and `C` need not be `Clone`.
impl<C: Connection, K, L: Lending<C>> Clone for Pool<C, K, L> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<C: Connection, K, L: Lending<C>> Drop for Shared<C, K, L> {
    fn drop(&mut self) {
        let now = Instant::now();
        self.desk.enter(|book, fx| book.close(now, fx));
    }
}
