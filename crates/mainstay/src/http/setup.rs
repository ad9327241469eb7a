use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_circuit_breaker::{Circuits, KeyLimits, Rules};
use mainstay_conn_pool::{Backoff, KeyedLimits, PoolLayer, Times};
use mainstay_retry_backoff::Plan;
use rustls::ClientConfig;
use std::num::NonZeroU32;
use tokio_util::task::TaskTracker;
use tower_layer::Layer;

use super::client::{Client, Shared};
use super::connect::{Connector, Tls};
use super::dns::{Names, Resolve, SystemResolver};
use super::retry::Retries;

/// What a [`Client`] is to be like.
///
/// | to set | by default |
/// |---|---|
/// | [`with_limits`](Self::with_limits): connections in all, and to each host | 100, 30 |
/// | [`with_total_time`](Self::with_total_time): for a request, to the end of its answer | 30 s |
/// | [`with_connect_time`](Self::with_connect_time): for a connection, with DNS and TLS | 10 s |
/// | [`with_idle_time`](Self::with_idle_time): of a connection that nobody uses | 60 s |
/// | [`with_redirects`](Self::with_redirects): how many are followed | none |
/// | [`with_max_body`](Self::with_max_body): what is read into memory | 16 MiB |
/// | [`with_retries`](Self::with_retries): of requests that may be sent twice | none |
/// | [`with_breakers`](Self::with_breakers): a circuit for each host | none |
/// | [`with_tls`](Self::with_tls) | the system's roots |
/// | [`with_resolver`](Self::with_resolver) | the system's |
#[derive(Clone)]
#[must_use = "it is a client only when `client` is called"]
pub struct Http {
    limits: KeyedLimits,
    total_time: Duration,
    connect_time: Duration,
    idle_time: Duration,
    max_redirects: u32,
    max_body: usize,
    retries: Option<Plan>,
    breakers: Option<Rules>,
    tls: Option<Arc<ClientConfig>>,
    resolver: Arc<dyn Resolve>,
}

/// A setting that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHttp(&'static str);

/// Over one connection of HTTP/2: what RFC 9113 recommends servers to allow at least (section 6.5.2).
const STREAMS: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");

/// Connecting is tried again that soon, and at least that often while it fails.
const BACKOFF: Backoff = match Backoff::new(Duration::from_millis(50), Duration::from_secs(1)) {
    Ok(backoff) => backoff,
    Err(_) => panic!("the first is not above the last"),
};

/// A circuit whose host is not asked for is forgotten then, if there are too many.
const CIRCUITS: (usize, Duration) = (1000, Duration::from_secs(600));

impl Http {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            limits: KeyedLimits::default(),
            total_time: Duration::from_secs(30),
            connect_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            max_redirects: 0,
            max_body: 16 * 1024 * 1024,
            retries: None,
            breakers: None,
            tls: None,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// How many connections there may be. One of HTTP/1.1 carries a request at a time, one of HTTP/2 a
    /// hundred. Who finds none waits for its turn, as long as its request may take.
    pub const fn with_limits(mut self, limits: KeyedLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a request may take all in all: waiting for a connection, redirects, retries, and the
    /// reading of the answer's body.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_total_time(mut self, total_time: Duration) -> Result<Self, InvalidHttp> {
        if total_time.is_zero() {
            return Err(InvalidHttp("the time for a request must not be zero"));
        }
        self.total_time = total_time;
        Ok(self)
    }

    /// How long the making of a connection may take: looking up the name, TCP and TLS. It goes on when the
    /// request that it was begun for is gone.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_connect_time(mut self, connect_time: Duration) -> Result<Self, InvalidHttp> {
        if connect_time.is_zero() {
            return Err(InvalidHttp("the time to connect must not be zero"));
        }
        self.connect_time = connect_time;
        Ok(self)
    }

    /// How long a connection is kept that nobody uses. Less than the servers keep them is best.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_idle_time(mut self, idle_time: Duration) -> Result<Self, InvalidHttp> {
        if idle_time.is_zero() {
            return Err(InvalidHttp("the idle time must not be zero"));
        }
        self.idle_time = idle_time;
        Ok(self)
    }

    /// How many redirects of a request are followed; zero answers with the redirect itself. What tells who
    /// asks (`Authorization`, `Cookie`) is not sent on to another origin, and none leads from HTTPS to HTTP.
    pub const fn with_redirects(mut self, max_redirects: u32) -> Self {
        self.max_redirects = max_redirects;
        self
    }

    /// How many bytes of an answer are read into memory. A [body](crate::http::Response::into_body) that is
    /// read piece by piece may be longer.
    pub const fn with_max_body(mut self, max_body: usize) -> Self {
        self.max_body = max_body;
        self
    }

    /// Sends [idempotent](crate::http::Request::idempotent) requests again that failed with their
    /// connection, or that were answered with 408, 429, 502, 503 or 504, after the time that the server
    /// asked for by `Retry-After`. Each host has a budget of its own; that of the plan is not used.
    pub fn with_retries(mut self, plan: Plan) -> Self {
        self.retries = Some(plan);
        self
    }

    /// Gives each host a circuit by these rules. A failure is an answer of 500 or above, a connection that
    /// cannot be made, or that failed.
    pub fn with_breakers(mut self, rules: Rules) -> Self {
        self.breakers = Some(rules);
        self
    }

    /// Other roots, or a client's certificate. If its ALPN is empty, HTTP/2 and HTTP/1.1 are offered.
    pub fn with_tls(mut self, tls: impl Into<Arc<ClientConfig>>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Another way to find addresses. What it finds is kept for 300 seconds, and used for another hour
    /// while it fails.
    pub fn with_resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// The client.
    ///
    /// # Panics
    /// Outside of tokio's runtime, in which its connections live.
    #[must_use]
    pub fn client(&self) -> Client {
        let valid = "neither is zero";
        let times = Times::new()
            .with_connect_within(self.connect_time)
            .and_then(|times| times.with_idle_for(self.idle_time))
            // The request's own time is the bound.
            .and_then(|times| times.with_acquire_within(Duration::MAX))
            .expect(valid)
            // It is known at once when an idle connection ends, and there is nothing else to ask it.
            .with_check_after_idle(Duration::MAX)
            // Each answer has a time of its own.
            .with_drain_within(Duration::MAX);
        let names = Names::new(self.resolver.clone());
        let pool = PoolLayer::keyed(self.limits)
            .shared(STREAMS)
            .with_times(times)
            .with_backoff(|| BACKOFF)
            .with_name("http")
            .layer(Connector::new(names, Tls::new(self.tls.clone())));
        let (circuits, idle_for) = CIRCUITS;
        let limits = KeyLimits::new(circuits, idle_for).expect(valid);
        Client::new(Shared {
            pool,
            total_time: self.total_time,
            max_body: self.max_body,
            max_redirects: self.max_redirects,
            retries: self.retries.clone().map(Retries::new),
            circuits: self.breakers.clone().map(|it| Circuits::new(it, limits)),
            in_flight: TaskTracker::new(),
        })
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("limits", &self.limits)
            .field("total_time", &self.total_time)
            .field("connect_time", &self.connect_time)
            .field("idle_time", &self.idle_time)
            .field("max_redirects", &self.max_redirects)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidHttp {}
