use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, HeaderName, Request};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field, info_span};

use crate::{
    Id, InFlight, RequestContext, TraceContext,
    context::earlier,
    future::ResponseFuture,
    headers::{self, Headers},
};

/// Finds where a connection comes from in the extensions of its request, where servers put it.
pub trait FindPeer {
    /// The address; `None` if it is not there, or the connection has none.
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr>;
}

impl<F: Fn(&Extensions) -> Option<SocketAddr>> FindPeer for F {
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        self(extensions)
    }
}

/// Takes a [`SocketAddr`] from the extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainPeer;

impl FindPeer for PlainPeer {
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        extensions.get().copied()
    }
}

/// Calls services in the context of each request, as its headers say it.
#[derive(Clone, Debug)]
pub struct ServerContextLayer<P = PlainPeer> {
    settings: Settings,
    peer: P,
}

/// A service that is called in the context of each request.
#[derive(Clone)]
pub struct ServerContext<S, P = PlainPeer> {
    inner: S,
    settings: Arc<Settings>,
    peer: P,
}

#[derive(Clone, Debug)]
struct Settings {
    headers: Headers,
    takes_ids: bool,
    client: Option<HeaderName>,
    default_timeout: Option<Duration>,
    longest_timeout: Option<Duration>,
    in_flight: Option<InFlight>,
}

impl ServerContextLayer {
    /// With the id of `x-request-id`, the client of `x-client-id`, the deadline of `grpc-timeout`, the
    /// trace of `traceparent`, and a [`SocketAddr`] among the extensions.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            settings: Settings {
                headers: Headers::new(),
                takes_ids: true,
                client: Some(HeaderName::from_static("x-client-id")),
                default_timeout: None,
                longest_timeout: None,
                in_flight: None,
            },
            peer: PlainPeer,
        }
    }
}

impl<P> ServerContextLayer<P> {
    /// Another header for the request's id.
    #[must_use]
    pub fn with_id_header(mut self, name: HeaderName) -> Self {
        self.settings.headers.id = name;
        self
    }

    /// Makes an id for each request, whatever it brings: for servers that strangers can reach.
    #[must_use]
    pub fn without_given_ids(mut self) -> Self {
        self.settings.takes_ids = false;
        self
    }

    /// Another header for the client's id.
    #[must_use]
    pub fn with_client_header(mut self, name: HeaderName) -> Self {
        self.settings.client = Some(name);
        self
    }

    /// No header says who the client is.
    #[must_use]
    pub fn without_client_header(mut self) -> Self {
        self.settings.client = None;
        self
    }

    /// A header that says how many milliseconds the caller waits, as up to 15 digits. The earlier
    /// deadline counts if there is a `grpc-timeout` too.
    #[must_use]
    pub fn with_timeout_header(mut self, name: HeaderName) -> Self {
        self.settings.headers.timeout = Some(name);
        self
    }

    /// How long a request has that says nothing about it, or nothing that can be read.
    #[must_use]
    pub const fn with_default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.default_timeout = Some(timeout);
        self
    }

    /// How long a request has at most, whatever it says.
    #[must_use]
    pub const fn with_longest_timeout(mut self, timeout: Duration) -> Self {
        self.settings.longest_timeout = Some(timeout);
        self
    }

    /// Has the requests be found among those in flight.
    #[must_use]
    pub fn with_in_flight(mut self, in_flight: InFlight) -> Self {
        self.settings.in_flight = Some(in_flight);
        self
    }

    /// Finds the peer another way: servers have types of their own for it.
    #[must_use]
    pub fn with_peer<F: FindPeer>(self, peer: F) -> ServerContextLayer<F> {
        ServerContextLayer {
            settings: self.settings,
            peer,
        }
    }
}

impl Default for ServerContextLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, P: Clone> Layer<S> for ServerContextLayer<P> {
    type Service = ServerContext<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerContext {
            inner,
            settings: Arc::new(self.settings.clone()),
            peer: self.peer.clone(),
        }
    }
}

impl<S, P: FindPeer> ServerContext<S, P> {
    #[inline]
    fn context<B>(&self, request: &Request<B>) -> RequestContext {
        let now = Instant::now();
        let settings = &*self.settings;
        let headers = request.headers();
        let after = |it: Option<Duration>| it.and_then(|it| now.checked_add(it));
        let deadline = settings.headers.deadline(headers, now);
        let deadline = deadline.or_else(|| after(settings.default_timeout));
        RequestContext::begun(now, |it| {
            if !settings.takes_ids || !headers::read_id(headers, &settings.headers.id, &mut it.id) {
                it.id = Id::unique();
            }
            if let Some(name) = &settings.client {
                headers::read_id(headers, name, &mut it.client);
            }
            it.peer = self.peer.find_peer(request.extensions());
            it.deadline = earlier(deadline, after(settings.longest_timeout));
            it.method.clone_from(request.method());
            headers::read_path(request, &mut it.path);
            it.trace = TraceContext::of(headers);
        })
    }
}

impl<S, P, B> Service<Request<B>> for ServerContext<S, P>
where
    S: Service<Request<B>>,
    P: FindPeer,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = self.context(&request);
        let span = span(&context);
        let in_flight = self.settings.in_flight.as_ref();
        ResponseFuture::call(context, span, in_flight, &mut self.inner, request)
    }
}

impl<S: fmt::Debug, P> fmt::Debug for ServerContext<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[inline]
fn span(context: &RequestContext) -> Span {
    let trace = || {
        Some(field::display(format!(
            "{:032x}",
            context.trace()?.trace_id()
        )))
    };
    info_span!(
        "request",
        request_id = context.id().as_str(),
        client_id = context.client().map(Id::as_str),
        peer = context.peer().map(field::display),
        method = context.method().as_str(),
        path = context.path(),
        trace_id = trace(),
        timeout = context.remaining().map(field::debug),
    )
}
