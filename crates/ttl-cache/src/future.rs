//! Futures of the cache.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{BoxError, LoadFailed, call::Call, desk::Outcome, flight::Passenger};

/// Of [`TtlCache::get_or_load`](crate::TtlCache::get_or_load): the answer, or why there is none.
///
/// Dropped, it leaves the load to the others who wait for it.
#[must_use = "futures do nothing unless polled"]
pub struct Lookup<V>(State<V>);

/// Of the layer: the answer of the cache or of the service.
///
/// Dropped, it leaves the load to the others who wait for it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<Request>, Request>(Response<S, Request>);

enum Response<S: Service<Request>, Request> {
    LookedUp(Lookup<S::Response>),
    Bypass(Pin<Box<Call<S, Request>>>),
}

enum State<V> {
    Hit(V),
    Ready(Outcome<V>),
    Waiting(Passenger<Outcome<V>>),
    Taken,
}

impl<V> Lookup<V> {
    #[inline]
    pub(crate) const fn hit(value: V) -> Self {
        Self(State::Hit(value))
    }

    pub(crate) const fn ready(outcome: Outcome<V>) -> Self {
        Self(State::Ready(outcome))
    }

    pub(crate) const fn waiting(passenger: Passenger<Outcome<V>>) -> Self {
        Self(State::Waiting(passenger))
    }
}

impl<V: Clone + Send + Sync + 'static> Future for Lookup<V> {
    type Output = Result<V, LoadFailed>;

    /// # Panics
    /// If it is polled after it was ready.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().0;
        if let State::Waiting(passenger) = state {
            let polled = Pin::new(passenger).poll(cx);
            if polled.is_ready() {
                *state = State::Taken;
            }
            return polled;
        }
        match std::mem::replace(state, State::Taken) {
            State::Hit(value) => Poll::Ready(Ok(value)),
            State::Ready(outcome) => Poll::Ready(outcome),
            _ => panic!("polled after it was ready"),
        }
    }
}

impl<S: Service<Request>, Request> ResponseFuture<S, Request> {
    #[inline]
    pub(crate) const fn looked_up(lookup: Lookup<S::Response>) -> Self {
        Self(Response::LookedUp(lookup))
    }

    pub(crate) fn bypass(service: S, request: Request) -> Self {
        Self(Response::Bypass(Box::pin(Call::new(service, request))))
    }
}

impl<S, Request> Future for ResponseFuture<S, Request>
where
    S: Service<Request>,
    S::Response: Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    /// # Panics
    /// If it is polled after it was ready.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Response::LookedUp(lookup) => Pin::new(lookup).poll(cx).map_err(Into::into),
            Response::Bypass(call) => call.as_mut().poll(cx).map_err(Into::into),
        }
    }
}

/// The value is moved out of it, and the call has a place of its own.
impl<S: Service<Request>, Request> Unpin for ResponseFuture<S, Request> {}

impl<S: Service<Request>, Request> fmt::Debug for ResponseFuture<S, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Response::LookedUp(lookup) => f.debug_tuple("ResponseFuture").field(lookup).finish(),
            Response::Bypass(_) => f.write_str("ResponseFuture(Bypass)"),
        }
    }
}

/// The value is moved out of it, and never pinned.
impl<V> Unpin for Lookup<V> {}

impl<V> fmt::Debug for Lookup<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Hit(_) | State::Ready(_) => "Ready",
            State::Waiting(_) => "Waiting",
            State::Taken => "Taken",
        };
        f.debug_tuple("Lookup").field(&state).finish()
    }
}
