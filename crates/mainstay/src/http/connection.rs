use std::error::Error;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_conn_pool::{Connection, Lease, Shared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_util::either::Either;

pub(crate) type Request = http::Request<Full<Bytes>>;

/// One connection to a server, which hyper drives in a task of its own.
pub(crate) struct Conn {
    sender: Arc<Mutex<Option<Sender>>>,
    is_http2: bool,
    driver: JoinHandle<()>,
}

/// All that there is of hyper's sender, until the connection ends: a request that is sent in the moment
/// in which hyper drops its queue can be left in it until the last sender is gone.
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A request came to nothing.
pub(crate) enum Failure {
    /// Nothing of it was sent.
    NotSent(Box<Request>),
    /// The server says that it did not look at it (HTTP/2).
    Refused(hyper::Error),
    /// It may have been.
    Sent(hyper::Error),
}

/// A connection over which a request is under way. One that carries one at a time is not lent again
/// unless it is [given back](Self::give_back).
pub(crate) struct Lent(Option<Lease<'static, Conn, Shared>>);

impl Conn {
    pub(crate) async fn open<T>(stream: T, is_http2: bool) -> hyper::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            Ok(Self::driven(Sender::Http2(sender), is_http2, connection))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            Ok(Self::driven(Sender::Http1(sender), is_http2, connection))
        }
    }

    fn driven<F>(sender: Sender, is_http2: bool, connection: F) -> Self
    where
        F: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        let sender = Arc::new(Mutex::new(Some(sender)));
        let weak = Arc::downgrade(&sender);
        let driver = tokio::spawn(async move {
            let result = connection.await;
            tracing::debug!(error = ?result.err(), "connection closed");
            if let Some(sender) = weak.upgrade() {
                let last = lock(&sender).take();
                drop(last);
            }
        });
        Self {
            sender,
            is_http2,
            driver,
        }
    }

    /// Whether it carries many requests at once.
    pub(crate) const fn is_http2(&self) -> bool {
        self.is_http2
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Response<Incoming>, Failure> {
        // What came before may be read, and not yet be done with.
        if poll_fn(|cx| self.poll_ready(cx)).await.is_err() {
            return Err(Failure::NotSent(Box::new(request)));
        }
        let sending = match lock(&self.sender).as_mut() {
            None => return Err(Failure::NotSent(Box::new(request))),
            Some(Sender::Http1(sender)) => Either::Left(sender.try_send_request(request)),
            Some(Sender::Http2(sender)) => Either::Right(sender.try_send_request(request)),
        };
        sending
            .await
            .map_err(|mut error| match error.take_message() {
                Some(request) => Failure::NotSent(Box::new(request)),
                None => match error.into_error() {
                    error if is_refusal(&error) => Failure::Refused(error),
                    error => Failure::Sent(error),
                },
            })
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match lock(&self.sender).as_mut() {
            None => Poll::Ready(Ok(())),
            Some(Sender::Http1(sender)) => sender.poll_ready(cx),
            Some(Sender::Http2(sender)) => sender.poll_ready(cx),
        }
    }
}

impl Connection for Conn {
    fn is_broken(&self) -> bool {
        match &*lock(&self.sender) {
            None => true,
            Some(Sender::Http1(sender)) => sender.is_closed(),
            Some(Sender::Http2(sender)) => sender.is_closed(),
        }
    }

    fn is_reusable(&self) -> bool {
        self.is_http2
    }

    fn max_leases(&self) -> NonZeroU32 {
        if self.is_http2 {
            NonZeroU32::MAX
        } else {
            NonZeroU32::MIN
        }
    }

    async fn close(self) {
        // The socket is closed before the place is free.
        drop(self.sender);
        drop(self.driver.await);
    }

    fn abort(&self) {
        self.driver.abort();
    }
}

impl Lent {
    pub(crate) const fn new(lease: Lease<'static, Conn, Shared>) -> Self {
        Self(Some(lease))
    }

    /// All went well.
    pub(crate) fn give_back(mut self) {
        if let Some(lease) = self.0.take() {
            // It may have taken leave with this answer.
            lease.mark_useful();
        }
    }

    /// Nobody else is to get it.
    pub(crate) fn retire(self) {
        if let Some(lease) = &self.0 {
            lease.mark_unfit();
        }
    }
}

impl Deref for Lent {
    type Target = Lease<'static, Conn, Shared>;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(lease) => lease,
            None => unreachable!("used after it was given back"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take()
            && !lease.is_reusable()
        {
            lease.mark_unfit();
        }
    }
}

/// A stream that was refused, or is above the last one that the other side looked at when it took leave
/// (RFC 9113, sections 8.7 and 6.8).
fn is_refusal(error: &hyper::Error) -> bool {
    let source = error.source().and_then(<dyn Error>::downcast_ref);
    source.is_some_and(|error: &h2::Error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (is_refused || error.is_go_away())
    })
}

fn lock(sender: &Mutex<Option<Sender>>) -> MutexGuard<'_, Option<Sender>> {
    sender.lock().unwrap_or_else(PoisonError::into_inner)
}
