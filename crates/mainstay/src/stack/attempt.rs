use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mainstay_circuit_breaker::Permit;
use mainstay_retry_backoff::{Budget, Engine};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use super::call::{Running, settle};
use super::head::Attempt;
use super::timer::Timer;
use crate::body::{Held, Hold};
use crate::deadline::{Deadline, Expired};
use crate::outcome::{Cause, Code, Outcome, Processed};
use crate::{refusal, status};

/// What tokio's timers are exact to.
const TICK: Duration = Duration::from_millis(1);

/// How an attempt ended.
pub(super) enum Ended<R> {
    /// With an answer that can still be forgotten for that of another attempt.
    Judged(Response<Body>, Outcome),
    /// Without one.
    Failed(Status, Outcome),
    /// With an answer that the caller has from now on.
    Committed(Response<Held<R>>, Option<Permit>),
    /// It was not made, and no other will be.
    Refused(Status),
}

impl<B, G> Running<B, G>
where
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget + Clone,
{
    /// One attempt, from the lease to the answer.
    pub(super) async fn attempt<S, R>(&mut self, service: &mut S, timer: &mut Timer<'_>) -> Ended<R>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        // Until there is an instance nobody is to blame for the time that it takes, and so neither
        // breaker nor attempt has begun.
        match timer.race(poll_fn(|cx| service.poll_ready(cx))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(error.into()),
            Err(expired) => return Ended::Refused(late(expired)),
        }
        let permit = match self.stack.circuit.as_ref().map(|it| it.admit()) {
            Some(Ok(permit)) => Some(permit),
            Some(Err(open)) => return refused(Box::new(open)),
            None => None,
        };
        let now = Instant::now();
        self.sent = now;
        let mut deadline = timer.begin(self.stack.attempt_timeout, now);
        if self.method.streams_responses() {
            // The attempt is over with its headers, and the server is to go on.
            deadline = self.deadline;
        }
        let Some(request) = self.request(deadline, now) else {
            // Nobody decides for another attempt then.
            return Ended::Refused(Status::internal("there is nothing left to send again"));
        };
        let mut response = match timer.race(pin!(service.call(request))).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return self.failed(error.into(), permit),
            Err(expired) => return self.failed(Box::new(expired), permit),
        };
        if let Some((status, outcome)) = status::refused_by_http(&response) {
            settle(permit, outcome);
            return Ended::Failed(status, outcome);
        }
        if self.method.streams_responses() {
            return match status::told(response.headers_mut()) {
                Some(outcome) => judged(response, self.without_blame(outcome), permit),
                None => Ended::Committed(response.map(Held::nothing_of), permit),
            };
        }
        match timer.race(pin!(Hold::new(response, self.stack.hold))).await {
            Ok(judged) => match judged.outcome {
                Some(outcome) => self::judged(judged.response, self.without_blame(outcome), permit),
                None => Ended::Committed(judged.response, permit),
            },
            Err(expired) => self.failed(Box::new(expired), permit),
        }
    }

    fn request(&mut self, deadline: Option<Deadline>, now: Instant) -> Option<Request<Body>> {
        if std::mem::take(&mut self.is_again)
            && let Some(engine) = &mut self.engine
        {
            engine.begin();
        }
        self.counted.attempt();
        let attempts = self.engine.as_ref().map_or(1, Engine::attempt);
        // As exactly as a timer can tell, nothing has passed of it yet.
        let is_whole = now.duration_since(self.began) < TICK && deadline == self.deadline;
        let now = if is_whole { self.began } else { now };
        let attempt = Attempt {
            deadline: deadline.map(|it| (it, now)),
            is_whole,
            previous: attempts - 1 + self.lost,
        };
        let replay = self.recorder.attempt()?;
        self.head.request(attempt, Body::new(replay))
    }

    /// There is no answer. The caller's own failure comes first: it is why there is none.
    #[cold]
    fn failed<R>(&mut self, error: BoxError, permit: Option<Permit>) -> Ended<R> {
        let was_asked = self.recorder.withdraw();
        if let Some(status) = self.recorder.failure() {
            let outcome = Outcome::new(status::code(status.code()), Cause::Request);
            settle(permit, outcome);
            return Ended::Failed(status, outcome);
        }
        if refusal::find(&*error).is_some() && !error.is::<Expired>() {
            settle(permit, Outcome::new(Code::Unavailable, Cause::Other));
            return refused(error);
        }
        let mut outcome = status::failed(&*error);
        if !was_asked {
            outcome = outcome.without_body(self.method.streams_requests());
        }
        let expired = error.downcast_ref::<Expired>();
        if expired.is_some_and(|it| !it.is_of_attempt()) && outcome.processed == Processed::Maybe {
            outcome = self.without_blame(outcome);
        }
        settle(permit, outcome);
        let status = match error.downcast::<Expired>() {
            Ok(expired) => late(*expired),
            Err(error) if outcome.cause == Cause::Connection => status::lost(error),
            Err(error) => status::status(outcome.code, error),
        };
        Ended::Failed(status, outcome)
    }
}

fn judged<R, T>(response: Response<T>, outcome: Outcome, permit: Option<Permit>) -> Ended<R>
where
    T: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    settle(permit, outcome);
    let is_late = matches!(outcome.cause, Cause::Deadline | Cause::Other);
    if is_late {
        return Ended::Failed(status::found_late(), outcome);
    }
    Ended::Judged(response.map(Body::new), outcome)
}

pub(super) fn late(expired: Expired) -> Status {
    refusal::status(&refusal::of(&expired), Box::new(expired))
}

#[cold]
fn refused<R>(error: BoxError) -> Ended<R> {
    let refusal = refusal::of(&*error);
    Ended::Refused(refusal::status(&refusal, error))
}
