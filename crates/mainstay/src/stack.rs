//! Everything that stands between a generated client and a service, in one value.

mod attempt;
mod cached;
mod call;
mod context;
mod head;
mod service;
mod timer;
mod with;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mainstay_circuit_breaker::{Circuit, FailureRate, HalfOpen, Rules, Window};
use mainstay_retry_backoff::{Budget, ExponentialBackoff, GrpcThrottle, Plan};
use tokio::time::Instant;
use tower_layer::Layer;

use crate::answers::AnswerCache;
use crate::body::Memory;
use crate::counts::Counts;
use crate::deadline::{Deadline, Said};
use crate::instances::Instances;
use crate::judge::Codes;
use crate::limit::ConcurrencyLimit;
use crate::method::{Method, Methods};
use crate::outcome::Code;
use crate::snapshot::Snapshot;

use self::context::Contexts;

pub use service::{Call, Stacked};

/// Which layers there are around a gRPC service, from the outside in:
///
/// | layer | to set | by default |
/// |---|---|---|
/// | context: id, trace and deadline of the request that is served | [`with_context`](Self::with_context) | carried on, if there is one |
/// | deadline of calls that bring none | [`with_timeout`](Self::with_timeout) | 30 s, streams of answers none |
/// | cache of answers | [`with_cache`](Self::with_cache) | none |
/// | calls at a time | [`with_concurrency_limit`](Self::with_concurrency_limit) | not limited |
/// | retries, within a budget | [`with_retries`](Self::with_retries) | up to 5 attempts, gRPC's throttle |
/// | (a lease, if the service is [`Instances`]) | | |
/// | circuit breaker | [`with_circuit`](Self::with_circuit) | opens when half of the calls of 10 s fail |
/// | time for each attempt | [`with_attempt_timeout`](Self::with_attempt_timeout) | not limited |
///
/// It is a [`Layer`] for any service of gRPC requests: [`Instances`] of a plugin, or a tonic channel.
/// Clones, and all services that it makes, share the cache, the circuit, the budget, the limits and the numbers
/// of its [`snapshot`](Self::snapshot).
///
/// What is tried again: a call that provably was not processed, whatever its method; and one that may
/// have been, if its method is [idempotent](crate::Method::idempotent) and it failed with its
/// connection, with a timeout of the attempt, or as UNAVAILABLE. A server's pushback is heeded.
#[must_use]
pub struct Stack<B = ExponentialBackoff, G = GrpcThrottle> {
    methods: Arc<Methods>,
    context: Contexts,
    name: Option<Arc<str>>,
    timeout: Option<Duration>,
    cache: Option<AnswerCache>,
    limit: Option<ConcurrencyLimit>,
    retries: Option<Plan<B, G>>,
    codes: Codes,
    circuit: Option<Circuit>,
    attempt_timeout: Option<Duration>,
    record: usize,
    memory: Memory,
    hold: usize,
    counts: Arc<Counts>,
    instances: Option<Instances>,
}

/// A value that no stack can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidStack(Cow<'static, str>);

/// As grpc-java has it.
const RECORD: usize = 1 << 20;
const RECORD_IN_ALL: usize = 16 << 20;
/// What tonic's clients take of a message, unless told otherwise, and what stands before it.
const HOLD: usize = (4 << 20) + 5;

const TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// The throttle of gRPC's examples.
const TOKENS: NonZeroU32 = NonZeroU32::new(10).unwrap();
const TOKEN_RATIO: f64 = 0.1;

const OPEN_AT: f64 = 0.5;
const OPEN_WINDOW: Duration = Duration::from_secs(10);
const OPEN_MIN_CALLS: u32 = 20;
/// More than one, since one can be a stream that goes on for long.
const PROBES: u32 = 3;
const SUCCESSES: u32 = 1;

impl Stack {
    /// With the defaults, for methods of which this is known.
    pub fn new(methods: Methods) -> Self {
        let throttle = GrpcThrottle::new(TOKENS, TOKEN_RATIO).expect("both are in range");
        let window = Window::last_time(OPEN_WINDOW, OPEN_MIN_CALLS).expect("both are in range");
        let rate = FailureRate::new(OPEN_AT, window).expect("it is a rate");
        let probes = HalfOpen::new(PROBES, SUCCESSES).expect("both are in range");
        Self {
            methods: Arc::new(methods),
            name: None,
            context: Contexts::Inherited,
            timeout: Some(TIMEOUT),
            cache: None,
            limit: None,
            retries: Some(Plan::new(ATTEMPTS).with_budget(throttle)),
            codes: Codes::new(&[Code::Unavailable]),
            circuit: Some(Circuit::new(Rules::new(rate).with_half_open(probes))),
            attempt_timeout: None,
            record: RECORD,
            memory: Memory::new(RECORD_IN_ALL),
            hold: HOLD,
            counts: Arc::default(),
            instances: None,
        }
    }
}

impl<B, G> Stack<B, G> {
    /// The circuit, to command it or to follow its changes.
    #[must_use]
    pub const fn circuit(&self) -> Option<&Circuit> {
        self.circuit.as_ref()
    }

    /// The plan of its retries, whose budget can be asked for what is left of it.
    #[must_use]
    pub const fn retries(&self) -> Option<&Plan<B, G>> {
        self.retries.as_ref()
    }

    /// Around the instances of a plugin, which its snapshots then speak of too.
    pub fn over(&self, instances: &Instances) -> Stacked<Instances, B, G>
    where
        B: Clone,
        G: Clone,
    {
        let mut stack = self.clone();
        stack.instances = Some(instances.clone());
        Stacked::new(Arc::new(stack), instances.clone())
    }

    /// What has come through it, and how its layers are.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            calls: self.counts.snapshot(),
            cache: self.cache.as_ref().map(AnswerCache::snapshot),
            limit: self.limit.as_ref().map(ConcurrencyLimit::snapshot),
            requests_kept: self.memory.used(),
            circuit: self.circuit.as_ref().map(Circuit::snapshot),
            instances: self.instances.as_ref().map(Instances::snapshot),
        }
    }

    /// When a call is to be over that begins now.
    ///
    /// What a request says that cannot be read is left to whom it is sent to.
    fn deadline(&self, headers: &HeaderMap, method: Method, now: Instant) -> Option<Deadline> {
        match Deadline::of(headers, now) {
            Said::By(deadline) => Some(deadline),
            Said::Unreadable => None,
            Said::Nothing => {
                let timeout = self.timeout.filter(|_| !method.streams_responses())?;
                now.checked_add(timeout).map(Deadline::at)
            }
        }
    }
}

impl fmt::Display for InvalidStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidStack {}

/// For services that are [`Clone`]: each call takes a clone, which it gets ready for itself.
impl<S, B, G> Layer<S> for Stack<B, G>
where
    B: Clone,
    G: Budget + Clone,
{
    type Service = Stacked<S, B, G>;

    fn layer(&self, service: S) -> Self::Service {
        Stacked::new(Arc::new(self.clone()), service)
    }
}

impl<B: Clone, G: Clone> Clone for Stack<B, G> {
    fn clone(&self) -> Self {
        Self {
            methods: Arc::clone(&self.methods),
            name: self.name.clone(),
            timeout: self.timeout,
            context: self.context.clone(),
            cache: self.cache.clone(),
            limit: self.limit.clone(),
            retries: self.retries.clone(),
            codes: self.codes,
            circuit: self.circuit.clone(),
            attempt_timeout: self.attempt_timeout,
            record: self.record,
            memory: self.memory.clone(),
            hold: self.hold,
            counts: Arc::clone(&self.counts),
            instances: self.instances.clone(),
        }
    }
}

impl<B, G> fmt::Debug for Stack<B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stack").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests;
