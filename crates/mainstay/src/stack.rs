//! Everything that stands between a generated client and a service, in one value.

mod attempt;
mod call;
mod counts;
mod head;
mod service;
mod timer;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mainstay_circuit_breaker::{Circuit, FailureRate, HalfOpen, Rules, Window};
use mainstay_retry_backoff::{Budget, ExponentialBackoff, GrpcThrottle, Plan};
use tokio::time::Instant;
use tower_layer::Layer;

use crate::body::Memory;
use crate::deadline::{Deadline, Said};
use crate::instances::Instances;
use crate::judge::Codes;
use crate::limit::ConcurrencyLimit;
use crate::method::{Method, Methods};
use crate::outcome::Code;
use crate::snapshot::Snapshot;

pub use counts::Calls;
pub use service::{Call, Stacked};

/// Which layers there are around a gRPC service, from the outside in:
///
/// | layer | to set | by default |
/// |---|---|---|
/// | deadline of calls that bring none | [`with_timeout`](Self::with_timeout) | 30 s, streams of answers none |
/// | calls at a time | [`with_concurrency_limit`](Self::with_concurrency_limit) | not limited |
/// | retries, within a budget | [`with_retries`](Self::with_retries) | up to 5 attempts, gRPC's throttle |
/// | (a lease, if the service is [`Instances`]) | | |
/// | circuit breaker | [`with_circuit`](Self::with_circuit) | opens when half of the calls of 10 s fail |
/// | time for each attempt | [`with_attempt_timeout`](Self::with_attempt_timeout) | not limited |
///
/// It is a [`Layer`] for any service of gRPC requests: [`Instances`] of a plugin, or a tonic channel.
/// Clones, and all services that it makes, share the circuit, the budget, the limits and the numbers
/// of its [`snapshot`](Self::snapshot).
///
/// What is tried again: a call that provably was not processed, whatever its method; and one that may
/// have been, if its method is [idempotent](crate::Method::idempotent) and it failed with its
/// connection, with a timeout of the attempt, or as UNAVAILABLE. A server's pushback is heeded.
#[must_use]
pub struct Stack<B = ExponentialBackoff, G = GrpcThrottle> {
    methods: Arc<Methods>,
    name: Option<Arc<str>>,
    timeout: Option<Duration>,
    limit: Option<ConcurrencyLimit>,
    retries: Option<Plan<B, G>>,
    codes: Codes,
    circuit: Option<Circuit>,
    attempt_timeout: Option<Duration>,
    record: usize,
    memory: Memory,
    hold: usize,
    counts: Arc<counts::Counts>,
    instances: Option<Instances>,
}

/// A value that no stack can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStack(&'static str);

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
            timeout: Some(TIMEOUT),
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
    /// A name for its events and snapshots. The circuit has one of its own.
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long a call may take whose request brings no `grpc-timeout`, if its method gives one
    /// answer. A stream of answers has no end that would suit all, and gets none.
    ///
    /// A stream that has a deadline fails when it is read after that; one that is neither read nor dropped
    /// keeps what it holds.
    ///
    /// Methods that are not known count as streams.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_timeout(mut self, timeout: Duration) -> Result<Self, InvalidStack> {
        if timeout.is_zero() {
            return Err(InvalidStack("the time of a call must not be zero"));
        }
        self.timeout = Some(timeout);
        Ok(self)
    }

    /// A call takes as long as it takes, unless its request brings a `grpc-timeout`.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// At most so many calls at a time.
    pub fn with_concurrency_limit(mut self, limit: ConcurrencyLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How often, when and within which budget calls are tried again. What never left is sent again
    /// on the last attempt too, whatever the plan says about that.
    pub fn with_retries<C, H>(self, plan: Plan<C, H>) -> Stack<C, H> {
        self.with_plan(Some(plan.with_transparent_retries()))
    }

    /// What retries are paid from, in place of gRPC's throttle with 10 tokens, of which a success earns a
    /// tenth; the attempts are as many as before. That throttle affords about five failures at a time,
    /// which is few where many calls may fail together: with a short
    /// [time for an attempt](Self::with_attempt_timeout), for instance.
    ///
    /// Without retries it does nothing.
    pub fn with_budget<H: Budget>(mut self, budget: H) -> Stack<B, H> {
        let retries = self.retries.take();
        self.with_plan(retries.map(|plan| plan.with_budget(budget)))
    }

    /// Each call is sent once, even if it provably was not processed.
    pub fn without_retries(self) -> Self {
        self.with_plan(None)
    }

    /// The codes after which a call of an idempotent method is tried again, in place of UNAVAILABLE.
    pub fn with_retryable_codes(mut self, codes: &[tonic::Code]) -> Self {
        let codes: Vec<_> = codes.iter().copied().map(crate::status::code).collect();
        self.codes = Codes::new(&codes);
        self
    }

    /// A circuit breaker with other rules, or one that is shared with others.
    ///
    /// A call is a probe until its end. So a half-open circuit should let a few through where some are
    /// streams that go on for long; by default it is three, of which one must succeed.
    pub fn with_circuit(mut self, circuit: impl Into<Circuit>) -> Self {
        self.circuit = Some(circuit.into());
        self
    }

    /// No circuit breaker.
    pub fn without_circuit(mut self) -> Self {
        self.circuit = None;
        self
    }

    /// How long one attempt may take, from when it has a connection to its answer: the whole answer
    /// of methods that give one message, the headers of others.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Result<Self, InvalidStack> {
        if timeout.is_zero() {
            return Err(InvalidStack("the time of an attempt must not be zero"));
        }
        self.attempt_timeout = Some(timeout);
        Ok(self)
    }

    /// How much of a request is kept for another attempt, in bytes: of one call (1 MiB by default), and
    /// of all together (16 MiB). A call that sends more goes on, but is not tried again.
    pub fn with_request_memory(mut self, of_one: usize, of_all: usize) -> Self {
        self.record = of_one;
        self.memory = Memory::new(of_all);
        self
    }

    /// How much of the answer of a method that gives one message is kept until its end, in bytes, and as
    /// much again for what it takes to keep it: 4 MiB by default, as tonic's clients take no more. A larger one goes to the caller as it comes, and is
    /// not tried again.
    pub const fn with_answer_memory(mut self, of_one: usize) -> Self {
        self.hold = of_one;
        self
    }

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

    fn with_plan<C, H>(self, retries: Option<Plan<C, H>>) -> Stack<C, H> {
        Stack {
            methods: self.methods,
            name: self.name,
            timeout: self.timeout,
            limit: self.limit,
            retries,
            codes: self.codes,
            circuit: self.circuit,
            attempt_timeout: self.attempt_timeout,
            record: self.record,
            memory: self.memory,
            hold: self.hold,
            counts: self.counts,
            instances: self.instances,
        }
    }
}

impl fmt::Display for InvalidStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
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
