//! One call, from layer to layer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mainstay_circuit_breaker::Permit;
use mainstay_retry_backoff::{self as retry, Budget, Decision, Engine};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use super::Stack;
use super::attempt::{Ended, late};
use super::head::Head;
use super::timer::Timer;
use crate::body::{Held, Recorder, Timed, Watch};
use crate::counts::Counted;
use crate::deadline::Deadline;
use crate::limit::Slot;
use crate::method::Method;
use crate::outcome::{Cause, Code, Outcome, Processed};
use crate::{judge, refusal, status};

/// What a call is, and what it has got so far; all of which it gives up when it is dropped.
pub(super) struct Running<B: IntoIterator, G: Budget> {
    pub(super) stack: Arc<Stack<B, G>>,
    pub(super) method: Method,
    pub(super) began: Instant,
    pub(super) deadline: Option<Deadline>,
    pub(super) slot: Option<Slot>,
    pub(super) head: Head,
    pub(super) recorder: Recorder,
    /// None if each call is sent once.
    pub(super) engine: Option<Engine<B, G>>,
    /// Whether the next attempt is one that the engine has decided on.
    pub(super) is_again: bool,
    /// How many attempts may have run, and ended with their connections.
    pub(super) lost: u32,
    /// Since when no attempt has been sent any more.
    pub(super) unsent_since: Option<Instant>,
    /// When the attempt that is under way was sent.
    pub(super) sent: Instant,
    pub(super) counted: Counted,
}

/// How long a call that cannot be sent is tried again. As long as it waits for an instance: one that
/// has no deadline is to fail, too, if nobody is there.
const UNSENT_FOR: Duration = Duration::from_secs(1);

pub(super) async fn run<S, R, B, G>(
    stack: Arc<Stack<B, G>>,
    mut service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration, IntoIter: Send> + Clone + Send + Sync + 'static,
    G: Budget + Clone + Send + Sync + 'static,
{
    let now = Instant::now();
    let mut call = Running::new(stack, request, now);
    let sleep = pin!(sleep_until(now));
    let mut timer = Timer::new(sleep, now, call.deadline);
    if let Err(status) = call.enter(&mut timer).await {
        call.end(status::code(status.code()));
        return Err(status);
    }
    loop {
        let (result, outcome) = match call.attempt(&mut service, &mut timer).await {
            Ended::Judged(answer, outcome) => (Ok(answer), outcome),
            Ended::Failed(status, outcome) => (Err(status), outcome),
            Ended::Committed(answer, permit) => return Ok(call.commit(answer, permit)),
            Ended::Refused(status) => {
                call.end(status::code(status.code()));
                return Err(status);
            }
        };
        timer.end();
        if !call.is_tried_again(outcome).await {
            call.end(outcome.code);
            return result;
        }
    }
}

impl<B, G> Running<B, G>
where
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget + Clone,
{
    fn new(stack: Arc<Stack<B, G>>, request: Request<Body>, now: Instant) -> Self {
        let (head, body) = request.into_parts();
        let method = stack.methods.get(head.uri.path());
        let deadline = stack.deadline(&head.headers, method, now);
        let engine = stack
            .retries
            .as_ref()
            .map(|plan| plan.start(deadline.map(Deadline::instant), || now));
        let kept = engine.as_ref().map_or(0, |_| stack.record);
        Self {
            method,
            began: now,
            deadline,
            slot: None,
            head: Head::new(head, engine.is_some(), deadline.is_some()),
            recorder: Recorder::new(body, kept, &stack.memory),
            engine,
            is_again: false,
            lost: 0,
            unsent_since: None,
            sent: now,
            counted: stack.counts.begin(),
            stack,
        }
    }

    /// The outcome of an attempt, without blame for the time that others took.
    ///
    /// A call that has waited in a queue for most of its time has little left for its service, which is not
    /// to be judged by what it could not do.
    pub(super) fn without_blame(&self, outcome: Outcome) -> Outcome {
        let Some(deadline) = self.deadline.map(Deadline::instant) else {
            return outcome;
        };
        let [in_all, of_service] = [self.began, self.sent].map(|it| deadline - it);
        if outcome.cause == Cause::Deadline && of_service < in_all / 2 {
            return Outcome::new(outcome.code, Cause::Other);
        }
        outcome
    }

    /// Waits for its turn, if there are many calls.
    async fn enter(&mut self, timer: &mut Timer<'_>) -> Result<(), Status> {
        timer.check().map_err(late)?;
        if let Some(limit) = &self.stack.limit {
            let slot = timer.race(limit.enter()).await.map_err(late)?;
            let full = |full| refusal::status(&refusal::of(&full), Box::new(full));
            self.slot = Some(slot.map_err(full)?);
        }
        Ok(())
    }

    /// Whether there is to be another attempt, once it is time for it.
    async fn is_tried_again(&mut self, outcome: Outcome) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        if outcome.code != Code::Ok {
            // It may still be sending, although it has its answer.
            self.recorder.withdraw();
        }
        if !self.recorder.can_replay() {
            engine.commit();
        }
        let mut said = judge::again(outcome, self.method.is_idempotent(), self.stack.codes);
        if judge::is_lost(outcome) {
            self.lost += 1;
            // Or a request that its service dies of would take one instance after another along.
            let sent = engine.attempt() - 1 + self.lost;
            if self
                .stack
                .retries
                .as_ref()
                .is_none_or(|plan| sent >= plan.attempts().get())
            {
                said = retry::Outcome::Fatal;
            }
        }
        let delay = match engine.decide(said, Instant::now) {
            Decision::Retry { delay } => delay,
            Decision::Stop(retry::Stop::Succeeded) => return false,
            Decision::Stop(stop) => {
                let (stack, method) = (self.stack.name.as_deref(), self.head.path());
                tracing::debug!(stack, method, ?outcome, ?stop, "call failed");
                return false;
            }
        };
        if outcome.processed == Processed::Never {
            let now = Instant::now();
            let since = *self.unsent_since.get_or_insert(now);
            if delay > UNSENT_FOR.saturating_sub(now - since) {
                return false;
            }
        } else {
            self.unsent_since = None;
        }
        let (stack, method) = (self.stack.name.as_deref(), self.head.path());
        tracing::debug!(stack, method, ?outcome, ?delay, "call is tried again");
        if !delay.is_zero() {
            // The engine has seen to it that this ends before the deadline.
            sleep(delay).await;
        }
        self.is_again = !engine.is_expired(Instant::now);
        self.is_again
    }

    fn end(&mut self, code: Code) {
        self.counted.end(Outcome::new(code, Cause::Answer));
    }
}

impl<B, G> Running<B, G>
where
    B: IntoIterator<Item = Duration, IntoIter: Send> + Clone + Send + Sync + 'static,
    G: Budget + Clone + Send + Sync + 'static,
{
    /// The caller has the answer from here on; how it ends is seen by the way.
    fn commit<R>(self, response: Response<Held<R>>, permit: Option<Permit>) -> Response<Body>
    where
        R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let Self {
            stack,
            method,
            began,
            deadline,
            slot,
            recorder,
            mut engine,
            mut counted,
            ..
        } = self;
        recorder.commit();
        if let Some(engine) = &mut engine {
            engine.commit();
        }
        let tell = move |mut outcome: Outcome| {
            if outcome.cause == Cause::Deadline {
                // It has begun, and gone on for as long as it might: that is no failure.
                outcome.cause = Cause::Other;
            }
            settle(permit, outcome);
            if let Some(engine) = &mut engine {
                let said = judge::again(outcome, method.is_idempotent(), stack.codes);
                let _ = engine.decide(said, Instant::now);
            }
            counted.end(outcome);
            drop(slot);
        };
        let status = response.status();
        let body = |body| Watch::new(Timed::new(body, began, deadline), status, tell);
        response.map(|it| Body::new(body(it)))
    }
}

pub(super) fn settle(permit: Option<Permit>, outcome: Outcome) {
    if let Some(permit) = permit {
        permit.settle(judge::verdict(outcome));
    }
}
