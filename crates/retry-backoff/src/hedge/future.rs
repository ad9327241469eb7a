use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::Hedging;
use crate::budget::{Budget, Cause};
use crate::deadline::TICK;
use crate::engine::NOT_SENT_AT_ONCE;
use crate::future::AT_ONCE;
use crate::outcome::Outcome;
use crate::policy::Policy;

use self::attempts::{Attempt, Attempts};
use self::next::Next;

mod attempts;
mod next;

pin_project! {
    /// The future of a [`Hedge`](crate::Hedge).
    ///
    /// # Cancel safety
    /// Dropping it drops all attempts that are under way. What was withdrawn from the budget for a
    /// hedge that had not been sent, or that came back unsent, is given back.
    ///
    /// # Panics
    /// When polled after completion. It does nothing else then.
    pub struct HedgeFuture<P, S, Req, G>
    where
        S: Service<Req>,
        G: Budget,
    {
        #[pin]
        first: Option<S::Future>,
        hedges: Vec<Sent<S::Future>>,
        #[pin]
        next: Next,
        // What the next attempt takes; without it there is none.
        again: Option<(Req, S)>,
        // Of the attempt that failed last.
        last: Option<Result<S::Response, S::Error>>,
        attempts: Attempts<G>,
        not_sent: u32,
        was_not_processed: bool,
        // The server wants none earlier.
        not_before: Option<Instant>,
        cause: Cause,
        policy: P,
        hedging: Hedging<G>,
        deadline: Option<Instant>,
        begun: Option<Instant>,
        is_done: bool,
    }
}

/// A hedge that is under way.
struct Sent<F> {
    attempt: Attempt,
    future: Pin<Box<F>>,
}

impl<P, S, Req, G> HedgeFuture<P, S, Req, G>
where
    S: Service<Req>,
    G: Budget + Clone,
{
    pub(super) fn new(
        first: S::Future,
        again: Option<(Req, S)>,
        policy: P,
        hedging: Hedging<G>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            first: Some(first),
            hedges: Vec::new(),
            next: if again.is_some() {
                Next::Unset
            } else {
                Next::Idle
            },
            again,
            last: None,
            attempts: Attempts::new(hedging.budget.clone(), hedging.attempts),
            not_sent: 0,
            was_not_processed: false,
            not_before: None,
            cause: Cause::Transient,
            policy,
            begun: hedging.begun(),
            hedging,
            deadline,
            is_done: false,
        }
    }
}

impl<P, S, Req, G> Future for HedgeFuture<P, S, Req, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req> + Clone,
    G: Budget,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.is_done, "polled after completion");
        let result = ready!(self.as_mut().run(cx));
        let this = self.project();
        this.attempts.stop();
        *this.is_done = true;
        Poll::Ready(result)
    }
}

impl<P, S, Req, G> HedgeFuture<P, S, Req, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req> + Clone,
    G: Budget,
{
    fn run(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut at_once = 0;
        loop {
            while let Some((attempt, result)) = self.as_mut().answer(cx) {
                if let Some(result) = self.as_mut().judged(attempt, result) {
                    return Poll::Ready(result);
                }
            }
            if at_once == AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Poll::Ready(is_sent) = self.as_mut().poll_next(cx) {
                at_once += u32::from(is_sent);
                continue;
            }
            // Nothing is on its way, and no time set for the next: waiting for the service to become
            // ready might be for ever.
            if self.is_alone() && !matches!(self.next, Next::Delayed { .. }) {
                let last = self.project().last.take();
                return Poll::Ready(last.expect("one has failed, if none is under way"));
            }
            return Poll::Pending;
        }
    }

    /// Of any attempt that has one.
    fn answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Option<(Attempt, Result<S::Response, S::Error>)> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            this.first.set(None);
            return Some((Attempt::FIRST, result));
        }
        for (at, sent) in this.hedges.iter_mut().enumerate() {
            if let Poll::Ready(result) = sent.future.as_mut().poll(cx) {
                let attempt = this.hedges.swap_remove(at).attempt;
                return Some((attempt, result));
            }
        }
        None
    }

    /// The result if it is the answer; otherwise it is kept, and the next attempt is put on or off.
    fn judged(
        mut self: Pin<&mut Self>,
        attempt: Attempt,
        mut result: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let this = self.as_mut().project();
        let request = this.again.as_mut().map(|(request, _)| request);
        let budget = this.attempts.budget();
        match this.policy.judge(request, &mut result, attempt.number()) {
            Outcome::Success => {
                // The price of a hedge is not given back, whoever wins: the server has had the work.
                budget.succeeded(None);
                this.hedging.succeeded(*this.begun);
                return Some(result);
            }
            Outcome::Fatal => return Some(result),
            Outcome::DoNotRetry => {
                budget.failed();
                self.as_mut().stop();
            }
            Outcome::NotSent => {
                *this.not_sent = this.not_sent.saturating_add(1);
                // A client that cannot send must not spin.
                let delay = if *this.not_sent <= NOT_SENT_AT_ONCE {
                    Duration::ZERO
                } else {
                    this.hedging.delay().max(TICK)
                };
                self.as_mut().came_to_nothing(attempt, delay);
            }
            Outcome::NotProcessed if !mem::replace(this.was_not_processed, true) => {
                self.as_mut().came_to_nothing(attempt, Duration::ZERO);
            }
            Outcome::NotProcessed => self.as_mut().failed(Cause::Transient, None),
            Outcome::Retryable { cause, after } => self.as_mut().failed(cause, after),
        }
        *self.project().last = Some(result);
        None
    }

    fn came_to_nothing(mut self: Pin<&mut Self>, attempt: Attempt, delay: Duration) {
        let this = self.as_mut().project();
        let can_go_again = this.again.is_some();
        this.attempts.came_to_nothing(attempt, can_go_again);
        self.schedule(delay);
    }

    fn failed(mut self: Pin<&mut Self>, cause: Cause, after: Option<Duration>) {
        let this = self.as_mut().project();
        this.attempts.budget().failed();
        *this.cause = cause;
        if let Some(after) = after.filter(|it| !it.is_zero()) {
            let end = Instant::now().checked_add(after);
            let end = end.filter(|_| after <= this.hedging.longest_hint);
            if end.is_none() {
                return self.stop();
            }
            *this.not_before = end.max(*this.not_before);
            self.as_mut().retract();
        }
        self.schedule(Duration::ZERO);
    }
}

impl<P, S, Req, G> HedgeFuture<P, S, Req, G>
where
    S: Service<Req>,
    G: Budget,
{
    /// Whether no attempt is under way.
    const fn is_alone(&self) -> bool {
        self.first.is_none() && self.hedges.is_empty()
    }
}

impl<P, S, Req, G> fmt::Debug for HedgeFuture<P, S, Req, G>
where
    S: Service<Req>,
    G: Budget,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeFuture")
            .field("attempt", &self.attempts.made())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
