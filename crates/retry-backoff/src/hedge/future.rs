use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use super::Hedging;
use crate::budget::{Account, Budget, Cause};
use crate::deadline::{TICK, end_of_wait, is_too_late};
use crate::engine::NOT_SENT_AT_ONCE;
use crate::future::AT_ONCE;
use crate::outcome::Outcome;
use crate::policy::Policy;

const A_COPY: &str = "there is a next attempt only while there is a request to send";

pin_project! {
    /// The future of a [`Hedge`](crate::Hedge).
    ///
    /// # Cancel safety
    /// Dropping it drops all attempts that are under way. What was withdrawn from the budget for a
    /// hedge that had not been sent is given back.
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
        // How many have been made, but for those that never left.
        attempt: u32,
        // The numbers of those, which are to be sent again.
        unsent: Vec<u32>,
        not_sent: u32,
        was_not_processed: bool,
        // The server wants none earlier.
        not_before: Option<Instant>,
        cause: Cause,
        policy: P,
        hedging: Hedging<G>,
        account: Account<G>,
        deadline: Option<Instant>,
        begun: Option<Instant>,
        is_done: bool,
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
        Readying { attempt: u32, #[pin] limit: Option<Sleep> },
        // None until another has failed.
        Idle,
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
                Next::Idle
            },
            again,
            last: None,
            attempt: 1,
            unsent: Vec::new(),
            not_sent: 0,
            was_not_processed: false,
            not_before: None,
            cause: Cause::Transient,
            policy,
            account: Account::new(hedging.budget.clone()),
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
        *self.project().is_done = true;
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
                let this = self.project();
                this.account.give_back();
                return Poll::Ready(
                    this.last
                        .take()
                        .expect("one has failed, if none is under way"),
                );
            }
            return Poll::Pending;
        }
    }

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
        mut self: Pin<&mut Self>,
        attempt: u32,
        mut result: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let this = self.as_mut().project();
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
                this.unsent.push(attempt);
                self.as_mut().schedule(delay);
            }
            Outcome::NotProcessed if !mem::replace(this.was_not_processed, true) => {
                this.unsent.push(attempt);
                self.as_mut().schedule(Duration::ZERO);
            }
            Outcome::NotProcessed => self.as_mut().failed(Cause::Transient, None),
            Outcome::Retryable { cause, after } => self.as_mut().failed(cause, after),
        }
        *self.project().last = Some(result);
        None
    }

    fn failed(mut self: Pin<&mut Self>, cause: Cause, after: Option<Duration>) {
        let this = self.as_mut().project();
        this.account.budget().failed();
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

    /// Sends the next attempt after this delay, unless the server wants it later; one that is paid
    /// for already goes as soon as it can.
    fn schedule(self: Pin<&mut Self>, delay: Duration) {
        let mut this = self.project();
        if this.again.is_none() || matches!(*this.next, Next::Readying { .. }) {
            return;
        }
        let delay = this.not_before.map_or(delay, |at| {
            delay.max(at.saturating_duration_since(Instant::now()))
        });
        this.next
            .set(if is_too_late(*this.deadline, delay, Instant::now) {
                // But there may be time for one after a failure.
                Next::Idle
            } else if delay.is_zero() {
                Next::Due
            } else {
                let delay = sleep(delay);
                Next::Delayed { delay }
            });
    }

    /// The attempt that waits for the service does so no longer.
    fn retract(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Next::Readying { attempt, .. } = *this.next {
            if attempt <= *this.attempt {
                this.unsent.push(attempt);
            }
            this.account.give_back();
            this.next.set(Next::Idle);
            // This one may have a place in a queue, or be given one that it would keep from others.
            if let Some((_, service)) = this.again {
                *service = service.clone();
            }
        }
    }

    /// There will be no other attempt.
    fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.account.give_back();
        this.next.set(Next::Idle);
        *this.again = None;
    }

    /// Ready if there is something new to look at, and whether an attempt was sent.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut this = self.as_mut().project();
        match this.next.as_mut().project() {
            NextProj::Unset => {
                let delay = this.hedging.delay();
                self.schedule(delay);
            }
            NextProj::Delayed { delay } => {
                ready!(delay.poll(cx));
                this.next.set(Next::Due);
            }
            NextProj::Due => {
                let is_in_time = !is_too_late(*this.deadline, Duration::ZERO, Instant::now);
                let attempt = match this.unsent.last() {
                    Some(unsent) if is_in_time => {
                        let unsent = *unsent;
                        this.unsent.pop();
                        Some(unsent)
                    }
                    None if is_in_time && this.account.withdraw(*this.cause) => {
                        Some(*this.attempt + 1)
                    }
                    _ => None,
                };
                this.next.set(attempt.map_or(Next::Idle, |attempt| {
                    let limit = None;
                    Next::Readying { attempt, limit }
                }));
            }
            NextProj::Readying { .. } => match ready!(self.as_mut().poll_ready(cx)) {
                Ok(()) if !is_too_late(self.deadline, Duration::ZERO, Instant::now) => {
                    self.send();
                    return Poll::Ready(true);
                }
                Err(Unready::NotYet) => self.retract(),
                Ok(()) | Err(Unready::Broken) => self.stop(),
            },
            NextProj::Idle => return Poll::Pending,
        }
        Poll::Ready(false)
    }

    /// Whether the service is ready for the next attempt, once that is known.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Unready>> {
        let is_alone = self.is_alone();
        let this = self.project();
        let NextProj::Readying { mut limit, .. } = this.next.project() else {
            unreachable!("no attempt is about to be sent");
        };
        let (_, service) = this.again.as_mut().expect(A_COPY);
        if let Poll::Ready(ready) = service.poll_ready(cx) {
            return Poll::Ready(ready.map_err(|_| Unready::Broken));
        }
        if is_alone {
            return Poll::Pending;
        }
        if this.hedging.ready_within.is_zero() {
            return Poll::Ready(Err(Unready::NotYet));
        }
        if limit.is_none() {
            let end = end_of_wait(*this.deadline, this.hedging.ready_within);
            limit.set(Some(sleep_until(end)));
        }
        let limit = limit.as_pin_mut().expect("it was set above");
        limit.poll(cx).map(|()| Err(Unready::NotYet))
    }

    fn send(mut self: Pin<&mut Self>) {
        let mut this = self.as_mut().project();
        let Next::Readying { attempt, .. } = *this.next else {
            unreachable!("no attempt is about to be sent");
        };
        let (mut request, mut service) = this.again.take().expect(A_COPY);
        let made = attempt.max(*this.attempt);
        // The policy comes first: should it panic, nothing is spent.
        let copy = if made < this.hedging.attempts.get() || !this.unsent.is_empty() {
            this.policy.copy(&request)
        } else {
            None
        };
        this.policy.prepare(&mut request, attempt);
        // It may hold what the service below needs for the next.
        drop(this.last.take());
        tracing::debug!(name = this.hedging.name, attempt, "hedging");
        *this.attempt = made;
        this.account.spend();
        let future = Box::pin(service.call(request));
        this.hedges.push(Sent { attempt, future });
        *this.again = copy.map(|copy| (copy, service));
        this.next.set(if this.again.is_some() {
            Next::Unset
        } else {
            Next::Idle
        });
        if !this.unsent.is_empty() {
            self.schedule(Duration::ZERO);
        }
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

/// Why an attempt cannot be sent.
enum Unready {
    NotYet,
    Broken,
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
