use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderName, Request};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use crate::{
    Id, InFlight, RequestContext, TraceContext,
    context::earlier,
    future::ResponseFuture,
    headers::{self, Headers},
};

/// Has requests say in the context of what they are made: the id, what is left until the deadline, and
/// the trace.
///
/// Above retries it tells them the deadline; below them it says to each attempt what is left then. It
/// can be in both places.
#[derive(Clone, Debug)]
pub struct ClientContextLayer {
    settings: Settings,
}

/// A service whose requests say in the context of what they are made.
#[derive(Clone)]
pub struct ClientContext<S> {
    inner: S,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    headers: Headers,
    in_flight: Option<InFlight>,
}

impl ClientContextLayer {
    /// In `x-request-id`, `grpc-timeout`, `traceparent` and `tracestate`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            settings: Settings {
                headers: Headers::new(),
                in_flight: None,
            },
        }
    }

    /// Another header for the request's id.
    #[must_use]
    pub fn with_id_header(mut self, name: HeaderName) -> Self {
        self.settings.headers.id = name;
        self
    }

    /// A header that says in milliseconds what is left, beside `grpc-timeout`.
    #[must_use]
    pub fn with_timeout_header(mut self, name: HeaderName) -> Self {
        self.settings.headers.timeout = Some(name);
        self
    }

    /// Has the requests be found among those in flight.
    #[must_use]
    pub fn with_in_flight(mut self, in_flight: InFlight) -> Self {
        self.settings.in_flight = Some(in_flight);
        self
    }
}

impl Default for ClientContextLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ClientContextLayer {
    type Service = ClientContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientContext {
            inner,
            settings: Arc::new(self.settings.clone()),
        }
    }
}

impl<S> ClientContext<S> {
    /// The service below.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below. Calls made with it say nothing of the context.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service below.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl Settings {
    /// That of the call: what the request itself says counts, the deadline only if it is earlier.
    fn context<B>(&self, request: &Request<B>, now: Instant) -> RequestContext {
        let headers = request.headers();
        let around = RequestContext::current();
        let around = around.as_ref().map(RequestContext::record);
        let said = self.headers.read(headers, None);
        RequestContext::begun(now, |it| {
            if let Some(around) = around {
                it.id = around.id;
                it.client = around.client;
                it.peer = around.peer;
                it.fields.clone_from(&around.fields);
            }
            if !said.id.read_into(&mut it.id) && around.is_none() {
                it.id = Id::unique();
            }
            it.deadline = earlier(said.deadline(now), around.and_then(|it| it.deadline));
            it.method.clone_from(request.method());
            headers::read_path(request, &mut it.path);
            let parent = said.parent.value();
            let own_trace = parent.and_then(|it| TraceContext::from(it, headers));
            it.trace = own_trace.or_else(|| around?.trace.clone());
        })
    }
}

impl<S, B> Service<Request<B>> for ClientContext<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let now = Instant::now();
        let settings = &*self.settings;
        let context = settings.context(&request, now);
        let headers = request.headers_mut();
        settings.headers.put_id(headers, context.id());
        if let Some(deadline) = context.deadline() {
            settings.headers.put_deadline(headers, deadline, now);
        }
        // One of its own is from a tracer that stands between, and has the later word.
        if let Some(trace) = context.trace()
            && TraceContext::of(headers).is_none()
        {
            trace.put(headers);
        }
        let in_flight = settings.in_flight.as_ref();
        ResponseFuture::call(context, Span::none(), in_flight, &mut self.inner, request)
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
