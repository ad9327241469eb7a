use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use crate::book::ONLY;
use crate::checkout::Checkout;
use crate::connection::Connection;
use crate::in_flight::{Answered, Carrier, Serves, Until};
use crate::lending::{Lending, Whole};
use crate::pool::Pool;
use crate::response::{KeyedResponseFuture, ResponseFuture};

type BoxError = Box<dyn Error + Send + Sync>;

/// Sends each request over a connection that is lent for it, from a pool for one target.
///
/// The connection is a service itself. It is given back when its response is there, or, with `U` as
/// `Read` (feature `http-body`), when the body of that has been read.
///
/// # Readiness
/// It is ready when it has a connection that is; so one that is ready and not called keeps others
/// from it. What a connection fails with before it was ever used, and what the pool refuses with,
/// is the answer of the call. A used connection that fails to get ready is replaced.
///
/// # Cancel safety
/// A connection whose request was dropped half-way is not lent again, unless it says that it can be
/// [reused](Connection::is_reusable).
///
/// # Panics
/// `call` panics if it is not ready.
pub struct Dispatch<C: Connection, L: Serves<C> = Whole, U = Answered> {
    pool: Pool<C, (), L>,
    readiness: Readiness<C, L>,
    place: &'static Location<'static>,
    until: PhantomData<fn() -> U>,
}

/// As [`Dispatch`], for a pool for many targets: `F` says which one a request is for.
///
/// # Readiness
/// It is always ready, since the target comes with the request.
pub struct DispatchBy<C: Connection, K, F, L: Lending<C> = Whole, U = Answered> {
    pool: Pool<C, K, L>,
    key: F,
    place: &'static Location<'static>,
    until: PhantomData<fn() -> U>,
}

enum Readiness<C: Connection, L: Serves<C>> {
    Idle,
    /// In the queue for a connection.
    Acquiring(Checkout<'static, C, (), L>),
    /// It has one, which is not ready yet.
    Readying(Option<Carrier<C, L>>),
    Ready(Carrier<C, L>),
    /// The next call fails with this.
    Refused(BoxError),
}

// === impl Dispatch ===

impl<C: Connection, L: Serves<C>> Dispatch<C, L> {
    pub(crate) const fn new(pool: Pool<C, (), L>, place: &'static Location<'static>) -> Self {
        Self {
            pool,
            readiness: Readiness::Idle,
            place,
            until: PhantomData,
        }
    }

    /// Gives the connection back when the body of the response has been read to its end.
    #[cfg(feature = "http-body")]
    #[must_use]
    pub fn until_read(self) -> Dispatch<C, L, crate::body::Read> {
        Dispatch {
            pool: self.pool,
            readiness: Readiness::Idle,
            place: self.place,
            until: PhantomData,
        }
    }
}

impl<C, L, U, Req> Service<Req> for Dispatch<C, L, U>
where
    C: Connection + Service<Req>,
    C::Error: Into<BoxError>,
    L: Serves<C>,
    U: Until<C, L, C::Response>,
{
    type Response = U::Response;
    type Error = BoxError;
    type Future = ResponseFuture<C::Future, C, L, U>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            self.readiness = match &mut self.readiness {
                Readiness::Idle => {
                    let pool = self.pool.clone();
                    Readiness::Acquiring(Checkout::owned(pool, ONLY, self.place))
                }
                Readiness::Acquiring(checkout) => match ready!(Pin::new(checkout).poll(cx)) {
                    Ok(lease) => Readiness::Readying(Some(Carrier::new(lease))),
                    Err(error) => Readiness::Refused(error.into_boxed()),
                },
                Readiness::Readying(carrier) => {
                    // Taken out: a panic gives it back as one that is not to be lent again.
                    let Some(mut taken) = carrier.take() else {
                        self.readiness = Readiness::Idle;
                        continue;
                    };
                    match taken.service().poll_ready(cx) {
                        Poll::Pending => {
                            *carrier = Some(taken);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(())) => Readiness::Ready(taken),
                        Poll::Ready(Err(error)) => match taken.fail() {
                            true => Readiness::Refused(error.into()),
                            false => Readiness::Idle,
                        },
                    }
                }
                Readiness::Ready(_) | Readiness::Refused(_) => return Poll::Ready(Ok(())),
            };
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match mem::replace(&mut self.readiness, Readiness::Idle) {
            Readiness::Ready(mut carrier) => {
                let future = carrier.service().call(request);
                ResponseFuture::sent(future, carrier.in_flight())
            }
            Readiness::Refused(error) => ResponseFuture::refused(error),
            _ => panic!("poll_ready must be called first"),
        }
    }
}

/// Another to the same pool; what this one has got ready is its own.
impl<C: Connection, L: Serves<C>, U> Clone for Dispatch<C, L, U> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            readiness: Readiness::Idle,
            place: self.place,
            until: PhantomData,
        }
    }
}

impl<C: Connection, L: Serves<C>, U> fmt::Debug for Dispatch<C, L, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

// === impl DispatchBy ===

impl<C: Connection, K, F, L: Lending<C>> DispatchBy<C, K, F, L> {
    pub(crate) const fn new(
        pool: Pool<C, K, L>,
        key: F,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            pool,
            key,
            place,
            until: PhantomData,
        }
    }

    /// Gives the connection back when the body of the response has been read to its end.
    #[cfg(feature = "http-body")]
    #[must_use]
    pub fn until_read(self) -> DispatchBy<C, K, F, L, crate::body::Read> {
        DispatchBy {
            pool: self.pool,
            key: self.key,
            place: self.place,
            until: PhantomData,
        }
    }
}

impl<C, K, F, L, U, Req> Service<Req> for DispatchBy<C, K, F, L, U>
where
    C: Connection + Service<Req>,
    C::Error: Into<BoxError>,
    K: Hash + Eq + Clone + 'static,
    F: Fn(&Req) -> K,
    L: Serves<C>,
    U: Until<C, L, C::Response>,
{
    type Response = U::Response;
    type Error = BoxError;
    type Future = KeyedResponseFuture<Req, C::Future, C, K, L, U>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let key = (self.key)(&request);
        KeyedResponseFuture::new(self.pool.clone(), key, request, self.place)
    }
}

impl<C: Connection, K, F: Clone, L: Lending<C>, U> Clone for DispatchBy<C, K, F, L, U> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            key: self.key.clone(),
            place: self.place,
            until: PhantomData,
        }
    }
}

impl<C: Connection, K, F, L: Lending<C>, U> fmt::Debug for DispatchBy<C, K, F, L, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchBy")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
