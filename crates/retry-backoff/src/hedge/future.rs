use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::Hedging;
use crate::budget::{Account, Budget, Cause};
use crate::outcome::Outcome;
use crate::policy::Policy;

const A_COPY: &str = "there is a next attempt only while there is a request to send";

pin_project! {
    /// The future of a [`Hedge`](crate::Hedge).
    ///
    /// # Cancel safety
    /// Dropping it drops all attempts that are under way. What was withdrawn from the budget for a
    /// hedge that had not been sent is given back.
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
        again: Option<(Req, S)>,
        // Of the attempt that failed last.
        last: Option<Result<S::Response, S::Error>>,
        attempt: u32,
        cause: Cause,
        policy: P,
        hedging: Hedging<G>,
        account: Account<G>,
        deadline: Option<Instant>,
        begun: Option<Instant>,
    }
}

/// A hedge that is under way, and its number.
struct Sent<F> {
    attempt: u32,
    future: Pin<Box<F>>,
}

pin_project! {
    #[project = NextProj]
    enum Next {
        // It waits for a delay that begins when it is seen that there is no answer yet.
        Unset,
        Delayed { #[pin] delay: Sleep },
        // It is time; the budget has not been asked yet.
        Due,
        // It is paid for, and may go as soon as the service is ready.
        Readying,
        // There is none.
        Never,
    }
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
                Next::Never
            },
            again,
            last: None,
            attempt: 1,
            cause: Cause::Transient,
            policy,
            account: Account::new(hedging.budget.clone()),
            begun: hedging.begun(),
            hedging,
            deadline,
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
        loop {
            while let Some((attempt, result)) = self.as_mut().answer(cx) {
                if let Some(result) = self.as_mut().judged(attempt, result) {
                    return Poll::Ready(result);
                }
            }
            if self.as_mut().poll_next(cx).is_ready() {
                continue;
            }
            // Nothing is on its way, and no time set for the next: waiting for the service to become
            // ready might be for ever.
            let this = self.project();
            let is_waiting = matches!(this.next.project(), NextProj::Delayed { .. });
            if this.first.is_none() && this.hedges.is_empty() && !is_waiting {
                this.account.give_back();
                return Poll::Ready(this.last.take().expect("polled after completion"));
            }
            return Poll::Pending;
        }
    }
}

impl<P, S, Req, G> HedgeFuture<P, S, Req, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req> + Clone,
    G: Budget,
{
    /// Of any attempt that has one.
    fn answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Option<(u32, Result<S::Response, S::Error>)> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            this.first.set(None);
            return Some((1, result));
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
        self: Pin<&mut Self>,
        attempt: u32,
        mut result: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let request = this.again.as_mut().map(|(request, _)| request);
        let budget = this.account.budget();
        match this.policy.judge(request, &mut result, attempt) {
            Outcome::Success => {
                // The price of a hedge is not given back, whoever wins: the server has had the work.
                budget.succeeded(None);
                this.hedging.succeeded(*this.begun);
                return Some(result);
            }
            Outcome::Fatal => return Some(result),
            Outcome::DoNotRetry => {
                budget.failed();
                this.account.give_back();
                this.next.set(Next::Never);
            }
            Outcome::Retryable { cause, after } => {
                budget.failed();
                *this.cause = cause;
                if !matches!(*this.next, Next::Never) {
                    this.account.give_back();
                    let next = Next::after(after.unwrap_or_default(), *this.deadline);
                    this.next.set(next);
                }
            }
            Outcome::NotSent | Outcome::NotProcessed => {
                if !matches!(*this.next, Next::Never | Next::Readying) {
                    this.next.set(Next::Due);
                }
            }
        }
        *this.last = Some(result);
        None
    }

    /// Ready if there is something new to look at.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        match this.next.as_mut().project() {
            NextProj::Unset => {
                let next = Next::after(this.hedging.delay(), *this.deadline);
                this.next.set(next);
            }
            NextProj::Delayed { delay } => {
                ready!(delay.poll(cx));
                this.next.set(Next::Due);
            }
            NextProj::Due => {
                let is_due = !is_too_late(*this.deadline, Duration::ZERO)
                    && this.account.withdraw(*this.cause);
                this.next
                    .set(if is_due { Next::Readying } else { Next::Never });
            }
            NextProj::Readying => {
                let (mut request, mut service) = this.again.take().expect(A_COPY);
                match service.poll_ready(cx) {
                    Poll::Pending => {
                        *this.again = Some((request, service));
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) if !is_too_late(*this.deadline, Duration::ZERO) => {}
                    Poll::Ready(_) => {
                        this.account.give_back();
                        this.next.set(Next::Never);
                        return Poll::Ready(());
                    }
                }
                this.account.spend();
                *this.attempt += 1;
                let attempt = *this.attempt;
                tracing::debug!(name = this.hedging.name, attempt, "hedging");
                let copy = if attempt < this.hedging.attempts.get() {
                    this.policy.copy(&request)
                } else {
                    None
                };
                this.policy.prepare(&mut request, attempt);
                let future = Box::pin(service.call(request));
                this.hedges.push(Sent { attempt, future });
                this.next.set(if copy.is_some() {
                    Next::Unset
                } else {
                    Next::Never
                });
                *this.again = copy.map(|copy| (copy, service));
            }
            NextProj::Never => return Poll::Pending,
        }
        Poll::Ready(())
    }
}

impl Next {
    fn after(delay: Duration, deadline: Option<Instant>) -> Self {
        if is_too_late(deadline, delay) {
            Self::Never
        } else if delay.is_zero() {
            Self::Due
        } else {
            let delay = sleep(delay);
            Self::Delayed { delay }
        }
    }
}

fn is_too_late(deadline: Option<Instant>, delay: Duration) -> bool {
    deadline.is_some_and(|deadline| {
        let begins = Instant::now().checked_add(delay);
        begins.is_none_or(|begins| begins >= deadline)
    })
}

impl<P, S, Req, G> fmt::Debug for HedgeFuture<P, S, Req, G>
where
    S: Service<Req>,
    G: Budget,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeFuture")
            .field("attempt", &self.attempt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
