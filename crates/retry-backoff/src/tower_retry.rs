use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::retry::{backoff, budget};

use crate::budget::{Budget, Cause};
use crate::{
    ConstantBackoff, Delays, ExponentialBackoff, GrpcThrottle, RetryRatio, SeededBackoff,
    TokenBucket,
};

pin_project! {
    /// The wait before a retry of `tower::retry`; none at all, if the delay is zero.
    #[derive(Debug)]
    pub struct Wait {
        #[pin]
        delay: Option<Sleep>,
    }
}

impl Wait {
    fn new(delay: Duration) -> Self {
        let delay = (!delay.is_zero()).then(|| sleep(delay));
        Self { delay }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project()
            .delay
            .as_pin_mut()
            .map_or(Poll::Ready(()), |it| it.poll(cx))
    }
}

impl backoff::MakeBackoff for ExponentialBackoff {
    type Backoff = Delays;

    fn make_backoff(&mut self) -> Delays {
        self.into_iter()
    }
}

impl backoff::MakeBackoff for SeededBackoff {
    type Backoff = Delays;

    fn make_backoff(&mut self) -> Delays {
        self.clone().into_iter()
    }
}

impl backoff::MakeBackoff for ConstantBackoff {
    type Backoff = Self;

    fn make_backoff(&mut self) -> Self {
        *self
    }
}

impl backoff::Backoff for Delays {
    type Future = Wait;

    fn next_backoff(&mut self) -> Wait {
        Wait::new(self.next().expect("it has no end"))
    }
}

impl backoff::Backoff for ConstantBackoff {
    type Future = Wait;

    fn next_backoff(&mut self) -> Wait {
        Wait::new(self.delay())
    }
}

/// A deposit is a request that succeeded at once.
impl budget::Budget for TokenBucket {
    fn deposit(&self) {
        self.succeeded(None);
    }

    fn withdraw(&self) -> bool {
        Budget::withdraw(self, Cause::Transient).is_some()
    }
}

/// A deposit is a request: make one for each, whatever becomes of it.
impl budget::Budget for RetryRatio {
    fn deposit(&self) {
        self.requested();
    }

    fn withdraw(&self) -> bool {
        Budget::withdraw(self, Cause::Transient).is_some()
    }
}

/// A deposit is a success, and a withdrawal a failure.
impl budget::Budget for GrpcThrottle {
    fn deposit(&self) {
        self.succeeded(None);
    }

    fn withdraw(&self) -> bool {
        self.failed();
        Budget::withdraw(self, Cause::Transient).is_some()
    }
}
