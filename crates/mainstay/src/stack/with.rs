use std::sync::Arc;
use std::time::Duration;

use mainstay_circuit_breaker::Circuit;
use mainstay_request_context::ClientContextLayer;
use mainstay_retry_backoff::{Budget, Plan};

use super::context::Contexts;
use super::{InvalidStack, Stack};
use crate::answers::AnswerCache;
use crate::body::Memory;
use crate::judge::Codes;
use crate::limit::ConcurrencyLimit;
use crate::method::Method;

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
            return Err(InvalidStack("the time of a call must not be zero".into()));
        }
        self.timeout = Some(timeout);
        Ok(self)
    }

    /// A call takes as long as it takes, unless its request brings a `grpc-timeout`.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Every call gets a context from this layer: with other headers, or to be found among the requests
    /// in flight. Unlike by default, those too that are made outside of any request, and so have a new id.
    pub fn with_context(mut self, context: ClientContextLayer) -> Self {
        self.context = Contexts::Of(context);
        self
    }

    /// Calls say nothing of the request for which they are made, and may take longer than it.
    pub fn without_context(mut self) -> Self {
        self.context = Contexts::Absent;
        self
    }

    /// Answers of the methods that are named in it are kept, and given again. It stands before all limits:
    /// an answer that is there is given while the circuit is open, too.
    ///
    /// # Errors
    /// If one of these methods is known to stream. One that is not known is taken for one that does not.
    pub fn with_cache(mut self, cache: AnswerCache) -> Result<Self, InvalidStack> {
        for name in cache.methods() {
            let method = self.methods.get(name);
            if method == Method::UNKNOWN {
                let methods = (*self.methods).clone();
                self.methods = Arc::new(methods.with_method(name, Method::unary()));
            } else if method.streams_requests() || method.streams_responses() {
                return Err(InvalidStack(
                    format!("{name} streams: only one message each way can be cached").into(),
                ));
            }
        }
        self.cache = Some(cache);
        Ok(self)
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
            return Err(InvalidStack(
                "the time of an attempt must not be zero".into(),
            ));
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

    fn with_plan<C, H>(self, retries: Option<Plan<C, H>>) -> Stack<C, H> {
        Stack {
            methods: self.methods,
            name: self.name,
            timeout: self.timeout,
            context: self.context,
            cache: self.cache,
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
