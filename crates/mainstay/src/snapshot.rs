use std::sync::Arc;

use mainstay_circuit_breaker as circuit_breaker;
use mainstay_ttl_cache as ttl_cache;

use crate::counts::Calls;
use crate::instances::InstancesSnapshot;
use crate::limit::LimitSnapshot;

/// A [`Stack`](crate::Stack) at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name of the stack.
    pub name: Option<Arc<str>>,
    /// What the calls through it came to. Those that the cache has answered are not among them.
    pub calls: Calls,
    /// The cache of answers, if there is one.
    pub cache: Option<ttl_cache::Snapshot>,
    /// The limit of calls at a time, if there is one.
    pub limit: Option<LimitSnapshot>,
    /// How many bytes of requests are kept at the moment, to be sent again if need be.
    pub requests_kept: usize,
    /// The circuit, if there is one.
    pub circuit: Option<circuit_breaker::Snapshot>,
    /// The instances, of a stack that is [over](crate::Stack::over) some.
    pub instances: Option<InstancesSnapshot>,
}
