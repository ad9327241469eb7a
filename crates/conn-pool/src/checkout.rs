use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tracing::debug;

use crate::connection::Connection;
use crate::desk::Turn;
use crate::error::AcquireError;
use crate::lease::{Home, Lease};
use crate::lending::Lending;
use crate::pool::Pool;

/// The future of [`acquire`](Pool::acquire).
///
/// Dropped, it leaves the queue, and what it may have got goes to the next in it.
#[must_use = "futures do nothing unless polled"]
pub struct Checkout<'p, C: Connection, K, L: Lending<C>> {
    pool: Whose<'p, C, K, L>,
    lane: u32,
    turn: Turn,
    place: &'static Location<'static>,
}

/// The future of a [`Pool`] as a service.
#[must_use = "futures do nothing unless polled"]
pub struct CheckoutResponse<C: Connection, K: 'static, L: Lending<C>> {
    checkout: Checkout<'static, C, K, L>,
}

enum Whose<'p, C: Connection, K, L: Lending<C>> {
    Borrowed(&'p Pool<C, K, L>),
    Owned(Pool<C, K, L>),
}

// === impl Checkout ===

impl<'p, C: Connection, K, L: Lending<C>> Checkout<'p, C, K, L> {
    pub(crate) fn borrowed(
        pool: &'p Pool<C, K, L>,
        lane: u32,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            pool: Whose::Borrowed(pool),
            lane,
            turn: Turn::default(),
            place,
        }
    }

    pub(crate) fn owned(pool: Pool<C, K, L>, lane: u32, place: &'static Location<'static>) -> Self {
        Self {
            pool: Whose::Owned(pool),
            lane,
            turn: Turn::default(),
            place,
        }
    }

    fn pool(&self) -> &Pool<C, K, L> {
        match &self.pool {
            Whose::Borrowed(pool) => pool,
            Whose::Owned(pool) => pool,
        }
    }
}

/// Nothing of it is pinned.
impl<C: Connection, K, L: Lending<C>> Unpin for Checkout<'_, C, K, L> {}

impl<'p, C: Connection, K, L: Lending<C>> Future for Checkout<'p, C, K, L> {
    type Output = Result<Lease<'p, C, L>, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let has_waited = this.turn.is_taken();
            let (desk, home) = match &this.pool {
                Whose::Borrowed(pool) => (pool.desk(), Home::Borrowed(pool.desk())),
                Whose::Owned(pool) => (pool.desk(), Home::Owned(pool.desk().clone())),
            };
            let grant = match ready!(this.turn.poll(desk, this.lane, this.place, cx)) {
                Ok(grant) => grant,
                Err(error) => {
                    debug!(error = &*error as &dyn Error, "no connection lent");
                    return Poll::Ready(Err(*error));
                }
            };
            let lease: Lease<'p, C, L> = Lease::new(home, grant);
            // It may have broken while it was idle. One that was handed over was not.
            if has_waited || !lease.is_broken() {
                return Poll::Ready(Ok(lease));
            }
        }
    }
}

impl<C: Connection, K, L: Lending<C>> Drop for Checkout<'_, C, K, L> {
    #[inline]
    fn drop(&mut self) {
        let pool = match &self.pool {
            Whose::Borrowed(pool) => pool,
            Whose::Owned(pool) => pool,
        };
        self.turn.give_up(pool.desk());
        pool.lanes().let_go(self.lane, pool.desk());
    }
}

impl<C: Connection, K, L: Lending<C>> fmt::Debug for Checkout<'_, C, K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout")
            .field("pool", self.pool())
            .finish_non_exhaustive()
    }
}

// === impl CheckoutResponse ===

impl<C: Connection, K: 'static, L: Lending<C>> CheckoutResponse<C, K, L> {
    pub(crate) const fn new(checkout: Checkout<'static, C, K, L>) -> Self {
        Self { checkout }
    }
}

impl<C: Connection, K: 'static, L: Lending<C>> Future for CheckoutResponse<C, K, L> {
    type Output = Result<Lease<'static, C, L>, Box<dyn Error + Send + Sync>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let checkout = Pin::new(&mut self.get_mut().checkout);
        checkout.poll(cx).map_err(AcquireError::into_boxed)
    }
}

impl<C: Connection, K: 'static, L: Lending<C>> fmt::Debug for CheckoutResponse<C, K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckoutResponse").finish_non_exhaustive()
    }
}
