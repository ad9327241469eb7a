use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_service::Service;

use super::{HedgeFuture, Sent};
use crate::budget::Budget;
use crate::deadline::{end_of_wait, is_too_late};
use crate::policy::Policy;

const A_COPY: &str = "there is a next attempt only while there is a request to send";
const CHOSEN: &str = "the attempt was chosen before the service was asked";

pin_project! {
    /// What is known of the next attempt.
    #[project = NextProj]
    pub(super) enum Next {
        // It waits for a delay that begins when it is seen that there is no answer yet.
        Unset,
        Delayed { #[pin] delay: Sleep },
        // It is time; the budget has not been asked yet.
        Due,
        // It is paid for, and may go as soon as the service is ready.
        Readying { #[pin] limit: Option<Sleep> },
        // None until another has failed.
        Idle,
    }
}

/// Why an attempt cannot be sent.
enum Unready {
    NotYet,
    Broken,
}

/// How the next attempt comes to be sent.
impl<P, S, Req, G> HedgeFuture<P, S, Req, G>
where
    P: Policy<Req, S::Response, S::Error>,
    S: Service<Req> + Clone,
    G: Budget,
{
    /// Sends it after this delay, unless the server wants it later; one that is paid for already goes
    /// as soon as it can.
    pub(super) fn schedule(self: Pin<&mut Self>, delay: Duration) {
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

    /// It waits for the service no longer.
    pub(super) fn retract(self: Pin<&mut Self>) {
        let mut this = self.project();
        if matches!(*this.next, Next::Readying { .. }) {
            this.attempts.put_off();
            this.next.set(Next::Idle);
            // This one may have a place in a queue, or be given one that it would keep from others.
            if let Some((_, service)) = this.again {
                *service = service.clone();
            }
        }
    }

    /// There will be none.
    pub(super) fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.attempts.stop();
        this.next.set(Next::Idle);
        *this.again = None;
    }

    /// Ready if there is something new to look at, and whether an attempt was sent.
    pub(super) fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
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
                // Before the budget: it is not to refuse others for one that has no time.
                let is_late = is_too_late(*this.deadline, Duration::ZERO, Instant::now);
                this.next
                    .set(if !is_late && this.attempts.choose(*this.cause) {
                        Next::Readying { limit: None }
                    } else {
                        Next::Idle
                    });
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

    /// Whether the service is ready for it, once that is known.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Unready>> {
        let is_alone = self.is_alone();
        let this = self.project();
        let NextProj::Readying { mut limit } = this.next.project() else {
            unreachable!("no attempt is about to be sent");
        };
        let (_, service) = this.again.as_mut().expect(A_COPY);
        if let Poll::Ready(ready) = service.poll_ready(cx) {
            return Poll::Ready(ready.map_err(|_| Unready::Broken));
        }
        // Then the request ends now, and needs no timer.
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
        let (mut request, mut service) = this.again.take().expect(A_COPY);
        let number = this.attempts.next().expect(CHOSEN);
        // The policy comes first: should it panic, nothing is spent.
        let copy = if this.attempts.may_follow() {
            this.policy.copy(&request)
        } else {
            None
        };
        this.policy.prepare(&mut request, number);
        // It may hold what the service below needs for the next.
        drop(this.last.take());
        tracing::debug!(name = this.hedging.name, attempt = number, "hedging");
        let attempt = this.attempts.send().expect(CHOSEN);
        let future = Box::pin(service.call(request));
        this.hedges.push(Sent { attempt, future });
        *this.again = copy.map(|copy| (copy, service));
        this.next.set(if this.again.is_some() {
            Next::Unset
        } else {
            Next::Idle
        });
        if this.attempts.has_unsent() {
            self.schedule(Duration::ZERO);
        }
    }
}
