//! The futures of this crate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{BoxError, Classify, Permit, Verdict, clock::Tick};

pin_project! {
    /// The answer of a service behind a circuit, or the refusal.
    ///
    /// Dropped before it is ready, it gives its probe back; see [`Permit`] for when that is a failure.
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C> {
        /// The inner service was called.
        Called {
            #[pin]
            future: F,
            call: Call<C>,
        },
        /// It was not.
        Refused { open: Option<BoxError> },
    }
}

/// What is known of a call until it has ended; dropped before, it was given up.
struct Call<C> {
    permit: Permit,
    deadline: Option<Tick>,
    classify: C,
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(crate) fn called(
        future: F,
        permit: Permit,
        classify: C,
        deadline: Option<Instant>,
    ) -> Self {
        let call = Call {
            deadline: deadline.map(|it| permit.clock().tick(it)),
            permit,
            classify,
        };
        Self {
            state: State::Called { future, call },
        }
    }

    pub(crate) const fn refused(open: BoxError) -> Self {
        Self {
            state: State::Refused { open: Some(open) },
        }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    C: Classify<T, E>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { future, call } => {
                let result = ready!(call.unless_it_panics(|_| future.poll(cx)));
                let verdict = call.unless_it_panics(|it| it.classify.classify(&result));
                call.permit.settle_once(verdict);
                Poll::Ready(result.map_err(Into::into))
            }
            StateProj::Refused { open } => {
                let open = open.take().expect("polled again after it was ready");
                Poll::Ready(Err(open))
            }
        }
    }
}

impl<C> Call<C> {
    /// Counts a panic as a failure at once. When the future is dropped it could not be told any more
    /// from one that was given up: executors catch the panic first.
    fn unless_it_panics<T>(&mut self, run: impl FnOnce(&Self) -> T) -> T {
        struct Unwinding<'a, C>(&'a mut Call<C>);

        impl<C> Drop for Unwinding<'_, C> {
            #[cold]
            fn drop(&mut self) {
                self.0.permit.settle_once(Verdict::failure());
            }
        }

        let unwinding = Unwinding(self);
        let output = run(unwinding.0);
        std::mem::forget(unwinding);
        output
    }
}

impl<C> Drop for Call<C> {
    #[inline]
    fn drop(&mut self) {
        if self.permit.is_settled() {
            return;
        }
        match self.deadline {
            Some(deadline) if self.permit.clock().now() >= deadline => {
                self.permit.settle_once(Verdict::failure());
            }
            _ => self.permit.give_up(),
        }
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "Called",
            State::Refused { .. } => "Refused",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
