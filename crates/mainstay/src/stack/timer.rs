use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::deadline::{Deadline, Expired, Whose};

/// What a call and its attempts have their time measured with: one timer, which is set anew for each
/// of them.
pub(crate) struct Timer<'a> {
    sleep: Pin<&'a mut Sleep>,
    began: Instant,
    call: Option<Deadline>,
    /// The time of the attempt that is under way, if that ends first.
    attempt: Option<Duration>,
}

impl<'a> Timer<'a> {
    /// For a call; `sleep` need not be set to anything.
    pub(crate) fn new(
        mut sleep: Pin<&'a mut Sleep>,
        began: Instant,
        call: Option<Deadline>,
    ) -> Self {
        if let Some(deadline) = call {
            sleep.as_mut().reset(deadline.instant());
        }
        Self {
            sleep,
            began,
            call,
            attempt: None,
        }
    }

    /// An attempt begins, and is to last no longer than this. Returns when it has to be over.
    pub(crate) fn begin(&mut self, within: Option<Duration>, now: Instant) -> Option<Deadline> {
        let Some(within) = within else {
            return self.call;
        };
        let end = now.checked_add(within).map(Deadline::at);
        match (end, self.call) {
            (Some(end), call) if call.is_none_or(|call| end < call) => {
                self.sleep.as_mut().reset(end.instant());
                self.attempt = Some(within);
                Some(end)
            }
            (_, call) => call,
        }
    }

    /// The attempt is over: what counts is the time of the call.
    pub(crate) fn end(&mut self) {
        if self.attempt.take().is_some()
            && let Some(deadline) = self.call
        {
            self.sleep.as_mut().reset(deadline.instant());
        }
    }

    /// The outcome of a future, unless the time is over first.
    pub(crate) async fn race<F: Future>(&mut self, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        let output = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.call.is_none() && self.attempt.is_none() {
                return Poll::Pending;
            }
            ready!(self.sleep.as_mut().poll(cx));
            Poll::Ready(None)
        });
        if let Some(output) = output.await {
            return Ok(output);
        }
        // If the whole process stood still, the answer may be there, and only not be seen yet.
        tokio::task::yield_now().await;
        let output = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        });
        output.await.ok_or_else(|| self.expired())
    }

    /// Fails if the time of the call was over before anything was done.
    pub(crate) fn check(&self) -> Result<(), Expired> {
        match self.call {
            Some(deadline) if deadline.instant() <= self.began => Err(self.expired()),
            _ => Ok(()),
        }
    }

    fn expired(&self) -> Expired {
        match (self.attempt, self.call) {
            (Some(within), _) => Expired {
                whose: Whose::Attempt,
                within,
            },
            (None, call) => Expired {
                whose: Whose::Call,
                within: call.map_or(Duration::ZERO, |it| it.remaining(self.began)),
            },
        }
    }
}
