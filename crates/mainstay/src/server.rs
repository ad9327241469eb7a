//! Everything that stands between a caller and the service of a server, in one value.

mod body;
mod call;
mod end;
mod panics;
mod peer;
mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mainstay_request_context::ServerContextLayer;
use mainstay_tasks::Shutdown;
use tower_layer::Layer;

use crate::counts::{Calls, Counts};
use crate::limit::{ConcurrencyLimit, LimitSnapshot};

pub use peer::TonicPeer;
pub use service::{Served, ServedCall};

/// Which layers there are around the gRPC services of a server, from the outside in:
///
/// | layer | to set | by default |
/// |---|---|---|
/// | context of the request: id, client, peer, trace | [`with_context`](Self::with_context) | as its headers say, in a span |
/// | deadline | the context's timeouts | that of `grpc-timeout` |
/// | calls under way are waited for when the server is to end | [`with_shutdown`](Self::with_shutdown) | no |
/// | calls at a time | [`with_concurrency_limit`](Self::with_concurrency_limit) | not limited |
/// | a panic is INTERNAL | | |
///
/// It is a [`Layer`] for single services as they are generated, as plugins serve them, and for whole
/// servers of tonic. Calls of `grpc.health.v1.Health` are not limited: who has much to do is not ill.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use mainstay::{ConcurrencyLimit, ServerStack};
/// use tower_layer::Layer;
/// # use tonic::service::Routes;
/// # use tonic_health::pb::health_server::HealthServer as KvServer;
/// # use tonic_health::server::{HealthReporter, HealthService};
/// # let kv = HealthService::from_health_reporter(HealthReporter::new());
///
/// let limit = ConcurrencyLimit::new(NonZeroU32::new(100).unwrap()).with_wait_within(Duration::ZERO);
/// let stack = ServerStack::new()
///     .with_context(|it| it.with_longest_timeout(Duration::from_secs(10)))
///     .with_concurrency_limit(limit);
/// let services = Routes::new(stack.layer(KvServer::new(kv)));
/// # let _ = services;
/// ```
///
/// # Clone
/// Clones, and all services that it makes, share the limit and the numbers of its
/// [`snapshot`](Self::snapshot).
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerStack<P = TonicPeer> {
    context: ServerContextLayer<P>,
    below: Arc<Below>,
}

/// The layers below the context.
#[derive(Clone, Debug, Default)]
struct Below {
    shutdown: Option<Shutdown>,
    limit: Option<ConcurrencyLimit>,
    numbers: Arc<Numbers>,
}

/// A [`ServerStack`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// What the calls came to; attempts are those that got to the service.
    pub calls: Calls,
    /// In how many of them the service panicked; also if they had ended by then.
    pub panicked: u64,
    /// The limit of calls at a time, if there is one.
    pub limit: Option<LimitSnapshot>,
}

#[derive(Debug, Default)]
struct Numbers {
    counts: Arc<Counts>,
    /// Only a count: nothing is published by it.
    panicked: AtomicU64,
}

impl ServerStack {
    /// With the defaults.
    pub fn new() -> Self {
        Self {
            context: ServerContextLayer::new().with_peer(TonicPeer),
            below: Arc::default(),
        }
    }
}

impl<P> ServerStack<P> {
    /// With other settings of the context: its headers, its timeouts, the requests in flight.
    pub fn with_context<Q>(
        self,
        change: impl FnOnce(ServerContextLayer<P>) -> ServerContextLayer<Q>,
    ) -> ServerStack<Q> {
        ServerStack {
            context: change(self.context),
            below: self.below,
        }
    }

    /// Calls under way are [work](Shutdown::work) of this shutdown: its drain waits for them, streams until
    /// their end. Those that are not done when the time for the drain is over get UNAVAILABLE. What still
    /// comes during the drain is served: it is for the server to accept nothing new. A `Watch` of
    /// `grpc.health.v1.Health`, which would not end, gets UNAVAILABLE when nothing new is accepted any more.
    ///
    /// A stream that its caller does not read is not asked for more either, and so holds up the drain; as it
    /// holds its place in the limit, even after its deadline.
    pub fn with_shutdown(mut self, shutdown: Shutdown) -> Self {
        Arc::make_mut(&mut self.below).shutdown = Some(shutdown);
        self
    }

    /// At most so many calls at a time, streams until their end; who waits in vain gets RESOURCE_EXHAUSTED.
    /// One that lets nobody [wait](ConcurrencyLimit::with_wait_within) sheds load at once.
    pub fn with_concurrency_limit(mut self, limit: ConcurrencyLimit) -> Self {
        Arc::make_mut(&mut self.below).limit = Some(limit);
        self
    }

    /// What has come through it.
    #[must_use]
    pub fn snapshot(&self) -> ServerSnapshot {
        ServerSnapshot {
            calls: self.below.numbers.counts.snapshot(),
            panicked: self.below.numbers.panicked.load(Relaxed),
            limit: self.below.limit.as_ref().map(ConcurrencyLimit::snapshot),
        }
    }
}

impl Default for ServerStack {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, P: Clone> Layer<S> for ServerStack<P> {
    type Service = Served<S, P>;

    fn layer(&self, service: S) -> Self::Service {
        Served::new(self, service)
    }
}

#[cfg(test)]
mod tests;
