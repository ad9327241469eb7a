//! Futures of the services in this crate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use crate::budget::Budget;
use crate::deadline::end_of_wait;
use crate::engine::{Decision, Engine, Stop};
use crate::outcome::Outcome;
use crate::policy::Policy;

pub use crate::hedge::HedgeFuture;
#[cfg(feature = "tower")]
pub use crate::tower_retry::Wait;

/// How many attempts one poll makes without a wait, before it lets other tasks run.
pub(crate) const AT_ONCE: u32 = 32;

const NO_COPY: &str = "without a copy the engine is committed and decides on no retry";

pin_project! {
    /// The future of a [`Retry`](crate::Retry).
    ///
    /// # Cancel safety
    /// Dropping it drops the attempt that is under way; no other follows. What was withdrawn from
    /// the budget for a retry that had not been sent is given back.
    ///
    /// # Panics
    /// When polled after completion. It does nothing else then.
    pub struct ResponseFuture<P, S, Req, B, G>
    where
        S: Service<Req>,
        B: IntoIterator,
        G: Budget,
    {
        #[pin]
        state: State<S::Future, Result<S::Response, S::Error>>,
        again: Option<Again<Req, S>>,
        policy: P,
        engine: Engine<B, G>,
        ready_within: Duration,
        name: Option<&'static str>,
    }
}

pin_project! {
    // The last result is kept while a retry is waited for: it is the answer if that cannot be sent.
    #[project = StateProj]
    enum State<F, R> {
        // An attempt is under way.
        Called { #[pin] future: F },
        // The next one is waited for.
        Delayed { #[pin] delay: Sleep, last: Option<R> },
        // It may go as soon as the service is ready; a limit is set once it is not at once.
        Readying { #[pin] limit: Option<Sleep>, last: Option<R> },
        // The result has been returned.
        Done,
    }
}

/// A result, and what it has come to.
type Judged<Res, E> = (Outcome, Result<Res, E>);

/// What another attempt takes.
struct Again<Req, S> {
    request: Option<Req>,
    service: S,
}

impl<P, S, Req, B, G> ResponseFuture<P, S, Req, B, G>
where
    S: Service<Req>,
    B: IntoIterator,
    G: Budget,
{
    #[inline]
    pub(crate) fn called(
        future: S::Future,
        again: Option<(Req, S)>,
        policy: P,
        engine: Engine<B, G>,
        ready_within: Duration,
        name: Option<&'static str>,
    ) -> Self {
        Self {
            state: State::Called { future },
            again: again.map(|(request, service)| Again {
                request: Some(request),
                service,
            }),
            policy,
            engine,
            ready_within,
            name,
        }
    }
}

impl<P, S, Req, B, G> Future for ResponseFuture<P, S, Req, B, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req>,
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !matches!(self.state, State::Called { .. }) {
            return self.resume(None, cx);
        }
        let (outcome, result) = ready!(self.as_mut().poll_attempt(cx));
        if matches!(outcome, Outcome::Success) {
            self.project().state.set(State::Done);
            return Poll::Ready(result);
        }
        self.resume(Some((outcome, result)), cx)
    }
}

impl<P, S, Req, B, G> ResponseFuture<P, S, Req, B, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req>,
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget,
{
    /// Everything but a first attempt that succeeds, which keeps `poll` short.
    #[cold]
    fn resume(
        mut self: Pin<&mut Self>,
        failed: Option<Judged<S::Response, S::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let result = ready!(self.as_mut().run(failed, cx));
        self.project().state.set(State::Done);
        Poll::Ready(result)
    }

    fn run(
        mut self: Pin<&mut Self>,
        mut failed: Option<Judged<S::Response, S::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut at_once = 0;
        loop {
            if let Some((outcome, result)) = failed.take() {
                if let Some(result) = self.as_mut().decide(outcome, result) {
                    return Poll::Ready(result);
                }
                at_once += 1;
                if at_once == AT_ONCE {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            match self.as_mut().project().state.project() {
                StateProj::Called { .. } => {
                    let (outcome, result) = ready!(self.as_mut().poll_attempt(cx));
                    if matches!(outcome, Outcome::Success) {
                        return Poll::Ready(result);
                    }
                    failed = Some((outcome, result));
                }
                StateProj::Delayed { delay, last } => {
                    ready!(delay.poll(cx));
                    let last = last.take();
                    let readying = State::Readying { limit: None, last };
                    self.as_mut().project().state.set(readying);
                }
                StateProj::Readying { .. } => {
                    let is_ready = ready!(self.as_mut().poll_ready(cx));
                    let this = self.as_mut().project();
                    let (name, attempt) = (*this.name, this.engine.attempt());
                    if !is_ready {
                        tracing::debug!(name, attempt, "not ready for the retry");
                    } else if this.engine.is_expired(Instant::now) {
                        let stop = Stop::Deadline;
                        tracing::debug!(name, attempt, ?stop, "not retried");
                    } else {
                        self.as_mut().send();
                        continue;
                    }
                    this.engine.give_up();
                    let last = this.state.project().last();
                    return Poll::Ready(last.expect("it is taken when the retry is sent"));
                }
                StateProj::Done => panic!("polled after completion"),
            }
        }
    }

    /// The attempt that is under way; in that state only.
    #[inline]
    fn poll_attempt(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Judged<S::Response, S::Error>> {
        let this = self.project();
        let StateProj::Called { future } = this.state.project() else {
            unreachable!("no attempt is under way");
        };
        let mut result = ready!(future.poll(cx));
        let request = this.again.as_mut().and_then(|it| it.request.as_mut());
        let attempt = this.engine.attempt();
        let outcome = this.policy.judge(request, &mut result, attempt);
        if matches!(outcome, Outcome::Success) {
            this.engine.succeeded();
        }
        Poll::Ready((outcome, result))
    }

    /// The result, unless another attempt is to be made.
    fn decide(
        self: Pin<&mut Self>,
        outcome: Outcome,
        result: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let attempt = this.engine.attempt();
        match this.engine.decide(outcome, Instant::now) {
            Decision::Retry { delay } => {
                tracing::debug!(name = *this.name, attempt, ?delay, "retrying");
                let last = Some(result);
                // A timer would not fire before its next tick, a millisecond away.
                this.state.set(if delay.is_zero() {
                    State::Readying { limit: None, last }
                } else {
                    let delay = sleep(delay);
                    State::Delayed { delay, last }
                });
                None
            }
            Decision::Stop(stop) => {
                tracing::debug!(name = *this.name, attempt, ?stop, "not retried");
                Some(result)
            }
        }
    }

    /// Whether the service is ready for the retry, once that is known.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = self.project();
        let StateProj::Readying { mut limit, .. } = this.state.project() else {
            unreachable!("no retry is about to be sent");
        };
        let service = &mut this.again.as_mut().expect(NO_COPY).service;
        if let Poll::Ready(ready) = service.poll_ready(cx) {
            return Poll::Ready(ready.is_ok());
        }
        if this.ready_within.is_zero() {
            return Poll::Ready(false);
        }
        if limit.is_none() {
            let end = end_of_wait(this.engine.deadline(), *this.ready_within);
            limit.set(Some(sleep_until(end)));
        }
        let limit = limit.as_pin_mut().expect("it was set above");
        limit.poll(cx).map(|()| false)
    }

    fn send(self: Pin<&mut Self>) {
        let mut this = self.project();
        let again = this.again.as_mut().expect(NO_COPY);
        let mut request = again.request.take().expect(NO_COPY);
        let attempt = this.engine.next_attempt();
        // The policy comes first: should it panic, nothing is spent.
        if this.engine.may_follow(attempt) {
            again.request = this.policy.copy(&request);
        }
        this.policy.prepare(&mut request, attempt);
        // It may hold what the service below needs for the next.
        drop(this.state.as_mut().project().last());
        if again.request.is_none() {
            this.engine.commit();
        }
        this.engine.begin();
        let future = again.service.call(request);
        this.state.set(State::Called { future });
    }
}

impl<F, R> StateProj<'_, F, R> {
    fn last(self) -> Option<R> {
        match self {
            Self::Called { .. } | Self::Done => None,
            Self::Delayed { last, .. } | Self::Readying { last, .. } => last.take(),
        }
    }
}

impl<P, S, Req, B, G> fmt::Debug for ResponseFuture<P, S, Req, B, G>
where
    S: Service<Req>,
    B: IntoIterator,
    G: Budget,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
