use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName, Request};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field, info_span};

use crate::{
    AddFields, FindPeer, Id, InFlight, NoFields, PlainPeer, RequestContext, TraceContext,
    context::earlier,
    future::ResponseFuture,
    headers::{self, Headers},
};

/// Calls services in the context of each request, as its headers say it.
#[derive(Clone, Debug)]
pub struct ServerContextLayer<P = PlainPeer, F = NoFields> {
    settings: Settings,
    peer: P,
    fields: F,
}

/// A service that is called in the context of each request.
#[derive(Clone)]
pub struct ServerContext<S, P = PlainPeer, F = NoFields> {
    inner: S,
    settings: Arc<Settings>,
    peer: P,
    fields: F,
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
    /// trace of `traceparent`, and a [`SocketAddr`](std::net::SocketAddr) among the extensions.
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
            fields: NoFields,
        }
    }
}

impl<P, F> ServerContextLayer<P, F> {
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
    pub fn with_peer<Q: FindPeer>(self, peer: Q) -> ServerContextLayer<Q, F> {
        ServerContextLayer {
            settings: self.settings,
            peer,
            fields: self.fields,
        }
    }

    /// Adds to the context of each request what the application finds in its headers and extensions, or
    /// changes it: [fields](RequestContext::with_field), or the [client](RequestContext::with_client) that
    /// authentication has found. The span and the requests in flight have what comes of that. One
    /// closure does it all: a second one takes the place of the first.
    ///
    /// It runs in `call`, for each request, outside of its context. Should it panic, the service below is
    /// not called, and nothing is in flight.
    ///
    /// ```
    /// # use mainstay_request_context::ServerContextLayer;
    /// #[derive(Clone)]
    /// struct Tenant(u64);
    ///
    /// let layer = ServerContextLayer::new().with_fields(|context, headers, _| {
    ///     let tenant = headers.get("x-tenant").and_then(|it| it.to_str().ok()?.parse().ok());
    ///     match tenant {
    ///         Some(tenant) => context.with_field(Tenant(tenant)),
    ///         None => context,
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn with_fields<G>(self, fields: G) -> ServerContextLayer<P, G>
    where
        // Not only `AddFields`: so the types of a closure's arguments need not be written.
        G: Fn(RequestContext, &HeaderMap, &Extensions) -> RequestContext,
    {
        ServerContextLayer {
            settings: self.settings,
            peer: self.peer,
            fields,
        }
    }
}

impl Default for ServerContextLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, P: Clone, F: Clone> Layer<S> for ServerContextLayer<P, F> {
    type Service = ServerContext<S, P, F>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerContext {
            inner,
            settings: Arc::new(self.settings.clone()),
            peer: self.peer.clone(),
            fields: self.fields.clone(),
        }
    }
}

impl<S, P: FindPeer, F: AddFields> ServerContext<S, P, F> {
    #[inline]
    fn context<B>(&self, request: &Request<B>) -> RequestContext {
        let now = Instant::now();
        let settings = &*self.settings;
        let headers = request.headers();
        let after = |it: Option<Duration>| it.and_then(|it| now.checked_add(it));
        let said = settings.headers.read(headers, settings.client.as_ref());
        let deadline = said.deadline(now);
        let deadline = deadline.or_else(|| after(settings.default_timeout));
        let context = RequestContext::begun(now, |it| {
            if !settings.takes_ids || !said.id.read_into(&mut it.id) {
                it.id = Id::unique();
            }
            said.client.read_into(&mut it.client);
            it.peer = self.peer.find_peer(request.extensions());
            it.deadline = earlier(deadline, after(settings.longest_timeout));
            it.method.clone_from(request.method());
            headers::read_path(request, &mut it.path);
            let parent = said.parent.value();
            it.trace = parent.and_then(|it| TraceContext::from(it, headers));
        });
        self.fields
            .add_fields(context, headers, request.extensions())
    }
}

impl<S, P, F, B> Service<Request<B>> for ServerContext<S, P, F>
where
    S: Service<Request<B>>,
    P: FindPeer,
    F: AddFields,
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

impl<S: fmt::Debug, P, F> fmt::Debug for ServerContext<S, P, F> {
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
