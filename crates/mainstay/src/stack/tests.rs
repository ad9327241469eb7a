//! What the order of the layers promises, over a service that does as it is told.

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use mainstay_circuit_breaker::{ConsecutiveFailures, Open, Rules, State};
use mainstay_retry_backoff::{ConstantBackoff, Plan};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tonic::{Code, Status};
use tower_layer::Layer as _;
use tower_service::Service;

use super::*;
use crate::cause::is_caused_by;
use crate::connection::Closed;
use crate::counts::Calls;
use crate::deadline::Expired;
use crate::limit::Full as LimitFull;
use crate::method::{Method, Methods};

mod cache;
mod channel;
mod context;
mod deadlines;
mod faults;
mod limits;
mod order;
mod retries;
mod streams;

const GET: &str = "/shop.v1.Cart/Get";
const ADD: &str = "/shop.v1.Cart/Add";
const WATCH: &str = "/shop.v1.Cart/Watch";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn stack() -> Stack {
    Stack::new(
        Methods::new()
            .with_method(GET, Method::unary().idempotent())
            .with_method(ADD, Method::unary())
            .with_method(WATCH, Method::server_streaming().idempotent()),
    )
}

/// Opens at the second failure in a row.
fn brittle() -> Rules {
    Rules::new(ConsecutiveFailures::new(2).unwrap())
}

fn request(path: &str) -> Request<Body> {
    let body = Body::new(Full::new(Bytes::from_static(b"\0\0\0\0\0")));
    Request::post(path)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

fn request_within(path: &str, timeout: &str) -> Request<Body> {
    let mut request = request(path);
    let headers = request.headers_mut();
    headers.insert("grpc-timeout", timeout.parse().unwrap());
    request
}

/// What the service does with a call.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// An empty message, and this status.
    Answers(Code),
    /// Nothing but the status, with this pushback.
    PushesBack(Code, &'static str),
    /// As `Answers`, after a while.
    After(Duration, Code),
    /// Never an answer.
    Hangs,
    /// Headers, then a message every so often.
    Streams(Duration),
    /// The connection was dead before.
    IsDead,
    /// The connection ends, with the call in it.
    Dies,
}

/// A service that does one thing after another, and the last again and again.
#[derive(Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Does>>>,
    /// The heads of the requests that came.
    heads: Arc<Mutex<Vec<(Instant, HeaderMap)>>>,
    /// How long it takes to become ready.
    ready_after: Duration,
    getting_ready: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Each gets ready for itself.
impl Clone for Scripted {
    fn clone(&self) -> Self {
        Self {
            script: Arc::clone(&self.script),
            heads: Arc::clone(&self.heads),
            ready_after: self.ready_after,
            getting_ready: None,
        }
    }
}

impl Scripted {
    fn new(script: impl Into<VecDeque<Does>>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into())),
            ..Self::default()
        }
    }

    fn calls(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    fn header(&self, call: usize, name: &str) -> Option<String> {
        let heads = self.heads.lock().unwrap();
        let value = heads[call].1.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    async fn run(does: Does, body: Body) -> Result<Response<Body>, BoxError> {
        if !matches!(does, Does::IsDead) {
            body.collect().await?;
        }
        let messages = |every: Duration| {
            futures_util::stream::unfold((), move |()| async move {
                sleep(every).await;
                let message = Bytes::from_static(b"\0\0\0\0\0");
                Some((Ok::<_, Status>(Frame::data(message)), ()))
            })
        };
        match does {
            Does::Answers(code) => Ok(answer(code)),
            Does::PushesBack(code, when) => {
                let mut response = Response::new(Body::empty());
                let headers = response.headers_mut();
                headers.insert("grpc-status", i32::from(code).into());
                headers.insert("grpc-retry-pushback-ms", when.parse().unwrap());
                Ok(response)
            }
            Does::After(time, code) => {
                sleep(time).await;
                Ok(answer(code))
            }
            Does::Hangs => std::future::pending().await,
            Does::Streams(every) => Ok(Response::new(Body::new(StreamBody::new(messages(every))))),
            Does::IsDead => Err(Closed.into()),
            Does::Dies => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
        }
    }
}

fn answer(code: Code) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", i32::from(code).into());
    let message = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let body = message.with_trailers(async move { Some(Ok(trailers)) });
    Response::new(Body::new(body))
}

impl Service<Request<Body>> for Scripted {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !self.ready_after.is_zero() {
            let sleep = || Box::pin(sleep(self.ready_after));
            let getting_ready = self.getting_ready.get_or_insert_with(sleep);
            std::task::ready!(getting_ready.as_mut().poll(cx));
            self.getting_ready = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        self.heads
            .lock()
            .unwrap()
            .push((Instant::now(), head.headers));
        let mut script = self.script.lock().unwrap();
        let does = match script.len() {
            1 => script[0],
            _ => script.pop_front().unwrap(),
        };
        Box::pin(Self::run(does, body))
    }
}

/// The status that a call ends with, also if the answer says it.
async fn status(response: Result<Response<Body>, Status>) -> Result<(), Status> {
    let response = response?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    let body = response.into_body().collect().await?;
    let trailers = body.trailers().expect("it has trailers");
    match Status::from_header_map(trailers).expect("they have a status") {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

async fn call<S>(stacked: &S, request: Request<Body>) -> Result<(), Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Status> + Clone,
{
    status(stacked.clone().call(request).await).await
}
