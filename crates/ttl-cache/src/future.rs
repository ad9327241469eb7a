//! Futures of the cache.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{LoadFailed, desk::Outcome, flight::Passenger};

/// Of [`TtlCache::get_or_load`](crate::TtlCache::get_or_load): the answer, or why there is none.
///
/// Dropped, it leaves the load to the others who wait for it.
#[must_use = "futures do nothing unless polled"]
pub struct Lookup<V>(State<V>);

enum State<V> {
    Ready(Outcome<V>),
    Waiting(Passenger<Outcome<V>>),
    Taken,
}

impl<V> Lookup<V> {
    #[inline]
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
            State::Ready(outcome) => Poll::Ready(outcome),
            _ => panic!("polled after it was ready"),
        }
    }
}

/// The value is moved out of it, and never pinned.
impl<V> Unpin for Lookup<V> {}

impl<V> fmt::Debug for Lookup<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Ready(_) => "Ready",
            State::Waiting(_) => "Waiting",
            State::Taken => "Taken",
        };
        f.debug_tuple("Lookup").field(&state).finish()
    }
}
