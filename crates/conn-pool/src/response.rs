use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::checkout::Checkout;
use crate::connection::Connection;
use crate::in_flight::{Carrier, InFlight, Serves, Until};
use crate::lending::Lending;
use crate::pool::Pool;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// The future of [`Dispatch`](crate::Dispatch).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C: Connection, L: Lending<C>, U> {
        #[pin]
        state: State<F, C, L>,
        until: PhantomData<fn() -> U>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C: Connection, L: Lending<C>> {
        /// Sent; what is under way ends before its connection is given back.
        Sent { #[pin] future: F, in_flight: Option<InFlight<C, L>> },
        /// Not sent.
        Refused { error: Option<BoxError> },
    }
}

pin_project! {
    /// The future of [`DispatchBy`](crate::DispatchBy).
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyedResponseFuture<Req, F, C: Connection, K: 'static, L: Serves<C>, U> {
        pool: Pool<C, K, L>,
        key: K,
        request: Option<Req>,
        place: &'static Location<'static>,
        #[pin]
        stage: Stage<F, C, K, L, U>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<F, C: Connection, K: 'static, L: Serves<C>, U> {
        /// In the queue for a connection.
        Acquiring { checkout: Checkout<'static, C, K, L> },
        /// It has one, which is not ready yet.
        Readying { carrier: Option<Carrier<C, L>> },
        /// Sent, or refused.
        Response { #[pin] response: ResponseFuture<F, C, L, U> },
    }
}

// === impl ResponseFuture ===

impl<F, C: Connection, L: Lending<C>, U> ResponseFuture<F, C, L, U> {
    pub(crate) const fn sent(future: F, in_flight: InFlight<C, L>) -> Self {
        Self {
            state: State::Sent {
                future,
                in_flight: Some(in_flight),
            },
            until: PhantomData,
        }
    }

    pub(crate) const fn refused(error: BoxError) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
            until: PhantomData,
        }
    }
}

impl<F, R, E, C, L, U> Future for ResponseFuture<F, C, L, U>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
    C: Connection,
    L: Lending<C>,
    U: Until<C, L, R>,
{
    type Output = Result<U::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sent { future, in_flight } => {
                let outcome = ready!(future.poll(cx));
                let in_flight = in_flight.take().expect("polled after it was done");
                // With an error the connection is dropped as one whose request was.
                Poll::Ready(match outcome {
                    Ok(response) => Ok(U::hold(response, in_flight)),
                    Err(error) => Err(error.into()),
                })
            }
            StateProj::Refused { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was done")))
            }
        }
    }
}

impl<F, C: Connection, L: Lending<C>, U> fmt::Debug for ResponseFuture<F, C, L, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl KeyedResponseFuture ===

impl<Req, F, C, K, L, U> KeyedResponseFuture<Req, F, C, K, L, U>
where
    C: Connection,
    K: Hash + Eq + Clone + 'static,
    L: Serves<C>,
{
    pub(crate) fn new(
        pool: Pool<C, K, L>,
        key: K,
        request: Req,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            stage: Stage::Acquiring {
                checkout: pool.clone().checkout_for(key.clone(), place),
            },
            pool,
            key,
            request: Some(request),
            place,
        }
    }
}

impl<Req, C, K, L, U> Future for KeyedResponseFuture<Req, C::Future, C, K, L, U>
where
    C: Connection + Service<Req>,
    C::Error: Into<BoxError>,
    K: Hash + Eq + Clone + 'static,
    L: Serves<C>,
    U: Until<C, L, C::Response>,
{
    type Output = Result<U::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProj::Acquiring { checkout } => match ready!(Pin::new(checkout).poll(cx)) {
                    Ok(lease) => Stage::Readying {
                        carrier: Some(Carrier::new(lease)),
                    },
                    Err(error) => Stage::Response {
                        response: ResponseFuture::refused(error.into_boxed()),
                    },
                },
                StageProj::Readying { carrier } => {
                    // Taken out: a panic gives it back as one that is not to be lent again.
                    let mut taken = carrier.take().expect("put back while it is not ready");
                    match taken.service().poll_ready(cx) {
                        Poll::Pending => {
                            *carrier = Some(taken);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(())) => {
                            let request = this.request.take().expect("sent once");
                            let future = taken.service().call(request);
                            Stage::Response {
                                response: ResponseFuture::sent(future, taken.in_flight()),
                            }
                        }
                        Poll::Ready(Err(error)) if taken.fail() => Stage::Response {
                            response: ResponseFuture::refused(error.into()),
                        },
                        Poll::Ready(Err(_)) => Stage::Acquiring {
                            checkout: this.pool.clone().checkout_for(this.key.clone(), this.place),
                        },
                    }
                }
                StageProj::Response { response } => return response.poll(cx),
            };
            this.stage.set(next);
        }
    }
}

impl<Req, F, C, K: 'static, L, U> fmt::Debug for KeyedResponseFuture<Req, F, C, K, L, U>
where
    C: Connection,
    L: Serves<C>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedResponseFuture")
            .finish_non_exhaustive()
    }
}
