//! A service that follows a script, and tells what was asked of it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_retry_backoff::Outcome;
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

pub(crate) type Answer = Result<u32, Failure>;

/// Why a call of the script failed, as the policies of these tests see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) Outcome);

/// One step: how long the call takes, and what it comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(pub(crate) Duration, pub(crate) Answer);

/// Clones share the script, but not readiness: each must be made ready before it is called, and is
/// ready for one call.
pub(crate) struct Script {
    shared: Arc<Shared>,
    is_ready: bool,
    /// Begins when it is first asked.
    delay: Option<Pin<Box<Sleep>>>,
    is_clone: bool,
}

#[derive(Default)]
pub(crate) struct Shared {
    steps: Mutex<VecDeque<Step>>,
    calls: Mutex<Vec<(Duration, u32)>>,
    under_way: Mutex<u32>,
    /// Each handle is ready only at its second poll.
    is_slow_to_be_ready: bool,
    /// Each clone is ready only after this.
    ready_after: Duration,
    begun: Mutex<Option<Instant>>,
}

/// A call that is under way.
pub(crate) struct Call {
    delay: Option<Pin<Box<Sleep>>>,
    answer: Answer,
    shared: Arc<Shared>,
}

pub(crate) fn transient() -> Answer {
    Err(Failure(Outcome::transient()))
}

pub(crate) fn judge(result: &Answer) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(Failure(outcome)) => *outcome,
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Script {
    /// Answers at once with each of these; the last one is repeated.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::timed(answers.into_iter().map(|it| Step(Duration::ZERO, it)))
    }

    pub(crate) fn timed(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(steps, false, Duration::ZERO)
    }

    pub(crate) fn slow_to_be_ready(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(steps, true, Duration::ZERO)
    }

    pub(crate) fn with_clones_ready_after(
        ready_after: Duration,
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        Self::with(steps, false, ready_after)
    }

    fn with(
        steps: impl IntoIterator<Item = Step>,
        is_slow_to_be_ready: bool,
        ready_after: Duration,
    ) -> Self {
        let shared = Shared {
            steps: Mutex::new(steps.into_iter().collect()),
            is_slow_to_be_ready,
            ready_after,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
            is_ready: false,
            delay: None,
            is_clone: false,
        }
    }

    /// When each call came, after the first, and its request.
    pub(crate) fn calls(&self) -> Vec<(Duration, u32)> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub(crate) fn times(&self) -> Vec<Duration> {
        self.calls().into_iter().map(|(at, _)| at).collect()
    }

    pub(crate) fn count(&self) -> u32 {
        self.shared.calls.lock().unwrap().len() as u32
    }

    /// How many calls are neither answered nor dropped.
    pub(crate) fn under_way(&self) -> u32 {
        *self.shared.under_way.lock().unwrap()
    }
}

impl Service<u32> for Script {
    type Response = u32;
    type Error = Failure;
    type Future = Call;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.is_clone && !self.is_ready && !self.shared.ready_after.is_zero() {
            let after = self.shared.ready_after;
            let delay = self.delay.get_or_insert_with(|| Box::pin(sleep(after)));
            std::task::ready!(delay.as_mut().poll(cx));
            self.delay = None;
        }
        let was_ready = std::mem::replace(&mut self.is_ready, true);
        if self.shared.is_slow_to_be_ready && !was_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Call {
        assert!(self.is_ready, "called without readiness");
        self.is_ready = false;
        let mut steps = self.shared.steps.lock().unwrap();
        let Step(delay, answer) = steps[0];
        if steps.len() > 1 {
            steps.pop_front();
        }
        let begun = *self
            .shared
            .begun
            .lock()
            .unwrap()
            .get_or_insert_with(Instant::now);
        let calls = &self.shared.calls;
        calls.lock().unwrap().push((begun.elapsed(), request));
        *self.shared.under_way.lock().unwrap() += 1;
        Call {
            delay: (!delay.is_zero()).then(|| Box::pin(sleep(delay))),
            answer,
            shared: self.shared.clone(),
        }
    }
}

impl Clone for Script {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_ready: false,
            delay: None,
            is_clone: true,
        }
    }
}

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(delay) = &mut self.delay {
            std::task::ready!(delay.as_mut().poll(cx));
        }
        Poll::Ready(self.answer)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        *self.shared.under_way.lock().unwrap() -= 1;
    }
}
