//! A call whose answer may be there already.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mainstay_request_context::InContext as _;
use mainstay_retry_backoff::Budget;
use mainstay_ttl_cache::LoadFailed;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use super::Stack;
use super::attempt::late;
use super::call;
use crate::answers::{Answer, AnswerCache, Copied, Rule};
use crate::body::{Collected, collect};
use crate::deadline::{Deadline, Expired, TIMEOUT, Whose};
use crate::method::Method;
use crate::outcome::Code;
use crate::{refusal, status};

/// A message that is longer is not looked for.
const LONGEST_MESSAGE: usize = 64 << 10;

/// No answer, but that there is none for now: for these an old one is as good.
const FAILURES: [Code; 8] = [
    Code::Cancelled,
    Code::Unknown,
    Code::DeadlineExceeded,
    Code::ResourceExhausted,
    Code::Aborted,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
];

/// What a caller has for itself: its call, until its load makes it; and then the answer, if it is too
/// large to be anybody else's.
enum Own<S> {
    Call(S, Request<Body>),
    Answer(Response<Body>),
    Nothing,
}

/// An answer with one of the [`FAILURES`], as the failure of a load.
#[derive(Debug)]
struct Failed(Copied);

/// As [`call::run`], for a method whose answers are kept by this rule.
pub(super) async fn run<S, R, B, G>(
    stack: Arc<Stack<B, G>>,
    cache: AnswerCache,
    rule: Arc<Rule>,
    service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration, IntoIter: Send> + Clone + Send + Sync + 'static,
    G: Budget + Clone + Send + Sync + 'static,
{
    let now = Instant::now();
    let deadline = stack.deadline(request.headers(), Method::unary(), now);
    let answer = answer(stack, cache, rule, service, request);
    let Some(deadline) = deadline.map(Deadline::instant) else {
        return answer.await;
    };
    let late = |_| {
        late(Expired {
            whose: Whose::Call,
            within: deadline - now,
        })
    };
    timeout_at(deadline, answer).await.map_err(late)?
}

async fn answer<S, R, B, G>(
    stack: Arc<Stack<B, G>>,
    cache: AnswerCache,
    rule: Arc<Rule>,
    service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration, IntoIter: Send> + Clone + Send + Sync + 'static,
    G: Budget + Clone + Send + Sync + 'static,
{
    let (mut head, body) = request.into_parts();
    let passes_by = match collect(body, LONGEST_MESSAGE).await {
        Collected::Whole(message) if message.trailers.is_none() => Ok(message),
        Collected::Whole(message) => Err(message.into_body()),
        Collected::More(body) => Err(Body::new(body)),
        Collected::Failed(status) => return Err(status),
    };
    let message = match passes_by {
        Ok(message) => message,
        Err(body) => return call::run(stack, service, Request::from_parts(head, body)).await,
    };
    let key = cache.key(&head, &message);
    // The load is nobody's own, and goes on when one of its callers has no more time.
    head.headers.remove(TIMEOUT);
    let request = Request::from_parts(head, message.into_body());
    let own = Arc::new(Mutex::new(Own::Call(service, request)));
    let load = {
        let (stack, own, key_size) = (Arc::clone(&stack), Arc::clone(&own), key.len());
        move || load(stack, own, rule, key_size).in_context(None)
    };
    match cache.store().get_or_load(&key, load).await {
        Ok(Answer::Whole(answer)) => Ok(answer.response()),
        Ok(Answer::Refused(status)) => Err(status),
        Ok(Answer::TooLarge) => match take(&own) {
            Own::Answer(answer) => Ok(answer),
            Own::Call(service, request) => call::run(stack, service, request).await,
            Own::Nothing => Err(Status::internal("the answer was given to nobody")),
        },
        Err(failed) => failure(failed),
    }
}

async fn load<S, R, B, G>(
    stack: Arc<Stack<B, G>>,
    own: Arc<Mutex<Own<S>>>,
    rule: Arc<Rule>,
    key_size: usize,
) -> Result<Answer, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B: IntoIterator<Item = Duration, IntoIter: Send> + Clone + Send + Sync + 'static,
    G: Budget + Clone + Send + Sync + 'static,
{
    let Own::Call(service, request) = take(&own) else {
        return Err("a load that has begun begins again".into());
    };
    let hold = stack.hold;
    let (mut head, body) = match call::run(stack, service, request).await {
        Ok(answer) => answer.into_parts(),
        Err(status) => return refused(status),
    };
    let mut message = match collect(body, hold).await {
        Collected::Whole(message) => message,
        Collected::More(body) => {
            let answer = Response::from_parts(head, Body::new(body));
            *own.lock().unwrap_or_else(PoisonError::into_inner) = Own::Answer(answer);
            return Ok(Answer::TooLarge);
        }
        Collected::Failed(status) => return refused(status),
    };
    let told = status::told(&mut head.headers);
    let told = told.or_else(|| status::told(message.trailers.as_mut()?));
    let code = told.map_or(Code::Unknown, |it| it.code);
    // One that is no message is a failure to its caller, whatever it says.
    let is_good = code == Code::Ok && message.is_message();
    let rule = is_good.then_some(&*rule);
    let copied = Copied::new(&head, &message, rule, key_size);
    if FAILURES.contains(&code) {
        return Err(Failed(copied).into());
    }
    Ok(Answer::Whole(Arc::new(copied)))
}

/// What a load comes to that got no answer of the service's own.
fn refused(status: Status) -> Result<Answer, BoxError> {
    if FAILURES.contains(&status::code(status.code())) {
        return Err(status.into());
    }
    // As a proxy says that this may not be seen.
    Ok(Answer::Refused(status))
}

/// What all get who waited for a load that failed.
fn failure(failed: LoadFailed) -> Result<Response<Body>, Status> {
    let cause = failed.cause();
    if let Some(Failed(answer)) = cause.downcast_ref() {
        return Ok(answer.response());
    }
    if let Some(status) = cause.downcast_ref::<Status>() {
        return Err(status.clone());
    }
    Err(refusal::status(&refusal::of(&failed), failed.into()))
}

fn take<S>(own: &Mutex<Own<S>>) -> Own<S> {
    let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *own, Own::Nothing)
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is a failure")
    }
}

impl Error for Failed {}
