//! One HTTP/2 connection, as a service.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::header::USER_AGENT;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use mainstay_plugin::{Connector, Mark, Wire};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::ConnectError;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

/// One HTTP/2 connection to a gRPC server. It does not connect again: once it is dead it stays dead,
/// and says so.
///
/// Clones send on the same connection, which ends with the last of them and their calls. It is ready
/// until it knows that it is closed; the server, not readiness, bounds how many calls there can be.
/// A dropped call resets its stream.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    sender: Arc<Sender>,
    wire: Wire,
    origin: Origin,
}

/// All that there is of hyper's sender, until the connection ends.
///
/// A request that is sent in the moment in which hyper drops its queue can be left in it, until the
/// last sender is gone; its call would wait for as long. So there is one, and it goes.
#[derive(Debug)]
struct Sender(Mutex<Option<SendRequest<Body>>>);

/// The connection has ended, so the request was not sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Spawns what hyper has to do beside each call. It is large, and is moved three times on its way into
/// a task: a box costs less.
#[derive(Clone, Copy, Debug)]
struct Boxing;

/// Where requests say that they go to, unless they say it already.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// A call on a [`Connection`].
pub(crate) struct Call {
    /// None if it cannot be.
    sending: Option<Sending>,
    wire: Wire,
    mark: Mark,
}

type Sending = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// A call failed with its connection, through which nothing was sent since it began, nor will be.
#[derive(Debug)]
pub(crate) struct NeverLeft(hyper::Error);

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-mainstay/", env!("CARGO_PKG_VERSION")));

impl Connection {
    /// Speaks HTTP/2 on a stream, of which `wire` tells what leaves through it.
    ///
    /// # Errors
    /// If the stream fails at once. That the other side speaks HTTP/2 is not known yet.
    pub(crate) async fn open<T>(stream: T, wire: Wire, origin: Origin) -> Result<Self, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(Boxing, TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| ConnectError(error.into()))?;
        let sender = Arc::new(Sender(Mutex::new(Some(sender))));
        let weak = Arc::downgrade(&sender);
        tokio::spawn(async move {
            let result = connection.await;
            tracing::debug!(error = ?result.err(), "connection closed");
            if let Some(sender) = weak.upgrade() {
                let last = sender.lock().take();
                drop(last);
            }
        });
        Ok(Self {
            sender,
            wire,
            origin,
        })
    }

    /// Connects to a plugin.
    pub(crate) async fn to_plugin(connector: &Connector) -> Result<Self, ConnectError> {
        let stream = connector.clone().call(()).await;
        let stream = stream.map_err(|error| ConnectError(error.into()))?;
        let wire = stream.wire().clone();
        Self::open(stream, wire, Origin::default()).await
    }

    /// Whether it is known to be dead.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender
            .lock()
            .as_ref()
            .is_none_or(SendRequest::is_closed)
    }

    /// Waits until it is dead.
    #[cfg(test)]
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}

impl<F> Executor<F> for Boxing
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Box::pin(future));
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Call;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.is_closed() {
            Err(Closed.into())
        } else {
            Ok(())
        })
    }

    fn call(&mut self, mut request: Request<Body>) -> Call {
        self.origin.put(request.uri_mut());
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let mark = self.wire.mark();
        // What is not sent is dropped without the lock.
        let mut request = Some(request);
        let sending = self
            .sender
            .lock()
            .as_mut()
            .and_then(|sender| Some(sender.send_request(request.take()?)));
        Call {
            mark,
            wire: self.wire.clone(),
            sending: sending.map(|it| Box::pin(it) as Sending),
        }
    }
}

impl Future for Call {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(sending) = &mut this.sending else {
            return Poll::Ready(Err(Closed.into()));
        };
        Poll::Ready(match ready!(sending.as_mut().poll(cx)) {
            Ok(response) => Ok(response),
            Err(error) if ended(&error) && this.wire.seal(this.mark) => {
                Err(NeverLeft(error).into())
            }
            Err(error) => Err(error.into()),
        })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl Origin {
    pub(crate) const fn new(scheme: Scheme, authority: Authority) -> Self {
        Self { scheme, authority }
    }

    fn put(&self, uri: &mut Uri) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.scheme.get_or_insert_with(|| self.scheme.clone());
        parts
            .authority
            .get_or_insert_with(|| self.authority.clone());
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        *uri = Uri::from_parts(parts).expect("it has all the parts that there are");
    }
}

impl Default for Origin {
    /// The name that both sides of go-plugin go by.
    fn default() -> Self {
        Self::new(Scheme::HTTP, Authority::from_static("localhost"))
    }
}

impl Sender {
    fn lock(&self) -> MutexGuard<'_, Option<SendRequest<Body>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed")
    }
}

impl Error for Closed {}

impl fmt::Display for NeverLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended before the request left")
    }
}

impl Error for NeverLeft {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Whether it is the connection that failed, with all its streams: only then it may be sealed. After
/// a GOAWAY of the other side some of them go on.
fn ended(error: &hyper::Error) -> bool {
    let Some(source) = error.source() else {
        return false;
    };
    let http2 = source.downcast_ref::<h2::Error>();
    source.is::<io::Error>() || http2.is_some_and(|it| it.is_go_away() && !it.is_remote())
}

#[cfg(test)]
mod tests;
