use std::num::NonZeroU32;

use mainstay::circuit_breaker::State;
use mainstay_examples::proto::kv_client::KvClient;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneService;

/// How many processes of the plugin there are.
pub(crate) const INSTANCES: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// A generated client, over whatever there is between it and the plugin.
pub(crate) type Client =
    KvClient<BoxCloneService<http::Request<Body>, http::Response<Body>, Status>>;

/// A plugin that is kept running, and a way to call it.
pub(crate) trait Host {
    /// For the caller of this number.
    fn client(&self, caller: u16) -> Client;

    fn snapshot(&self) -> Snapshot;
}

/// How a plugin is.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The processes that run, the oldest first.
    pub(crate) pids: Vec<u32>,
    /// How many were started in place of others.
    pub(crate) restarts: u64,
    /// How often the plugin was called for each call that was made.
    pub(crate) attempts_per_call: f64,
    /// None if there is no circuit breaker.
    pub(crate) circuit: Option<State>,
}
