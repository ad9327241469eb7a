use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::budget::{Budget, TokenBucket};
use crate::plan::{LONGEST_HINT, READY_WITHIN};
use crate::policy::{OnlyIf, Policy, WithDeadline};

use self::latencies::Latencies;

pub use self::future::HedgeFuture;

mod future;
mod latencies;

/// When a request is sent again although it has not failed, and how often.
///
/// | knob | default |
/// |---|---|
/// | delay after which another attempt is sent; a high percentile of the latency is usual | |
/// | [`with_quantile`](Self::with_quantile): the delay follows the latency | fixed |
/// | [`with_attempts`](Self::with_attempts), the first one included | 2 |
/// | [`with_budget`](Self::with_budget) | for one request in twenty that succeed, ten at once |
/// | [`with_ready_within`](Self::with_ready_within): how long a hedge waits for the service below | 100 ms |
/// | [`with_longest_hint`](Self::with_longest_hint): a longer pushback stops the hedges | one minute |
/// | [`with_name`](Self::with_name) | none |
///
/// Clones share the budget, and the latencies.
#[derive(Clone, Debug)]
#[must_use]
pub struct Hedging<G = TokenBucket> {
    delay: Duration,
    latencies: Option<Arc<Mutex<Latencies>>>,
    attempts: NonZeroU32,
    budget: G,
    ready_within: Duration,
    longest_hint: Duration,
    name: Option<&'static str>,
}

/// These numbers make no hedging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHedging(&'static str);

/// Makes [`Hedge`] services, all of which share the budget.
#[derive(Clone)]
#[must_use]
pub struct HedgeLayer<P, G = TokenBucket> {
    hedging: Hedging<G>,
    policy: P,
}

/// Sends a request again while it is still unanswered, and returns the first good answer.
///
/// The attempts that lose are dropped, and are nothing to the services below but cancelled. Another
/// attempt is sent after each delay without an answer, and at once when one has failed; never after
/// one that is [`Fatal`](crate::Outcome::Fatal), whose result is returned at once. A server's
/// pushback puts off the next attempt, whatever else fails meanwhile, or stops them. When the budget
/// is used up, or the service below is not ready in time, the request goes on with the attempts it
/// has; when all have failed, the last result is returned.
///
/// What was [`NotSent`](crate::Outcome::NotSent), or [`NotProcessed`](crate::Outcome::NotProcessed)
/// for the first time, is sent again under the same number and for nothing, while there is a copy:
/// that is, until the last attempt is under way. Three times of a request that is at once, and then
/// after the delay. If it is not sent again after all, the budget has its price back.
///
/// Only for requests that may be carried out twice at the same time. It clones the service below for
/// each request, and gets that clone ready when it is needed. The first hedge of a request makes an
/// allocation; without one there is none.
///
/// ```
/// # use std::{convert::Infallible, num::NonZeroU32, time::Duration};
/// # use mainstay_retry_backoff::{EveryError, Hedging, HedgeLayer};
/// # use tower::{service_fn, Service, ServiceBuilder, ServiceExt};
/// # use tokio::time::{sleep, Instant};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let calls = std::sync::atomic::AtomicU64::new(0);
/// let slow_at_first = service_fn(|(): ()| async {
///     let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///     sleep(Duration::from_millis(if call == 0 { 500 } else { 10 })).await;
///     Ok::<_, Infallible>(call)
/// });
/// let hedging = Hedging::new(Duration::from_millis(50));
/// let service = ServiceBuilder::new().layer(HedgeLayer::new(hedging, EveryError)).service(slow_at_first);
///
/// let begun = Instant::now();
/// assert_eq!(service.oneshot(()).await, Ok(1));
/// assert_eq!(begun.elapsed(), Duration::from_millis(60));
/// # }
/// ```
#[derive(Clone)]
pub struct Hedge<P, S, G = TokenBucket> {
    hedging: Hedging<G>,
    policy: P,
    service: S,
}

impl Hedging {
    /// Two attempts, the second one after this delay.
    pub fn new(delay: Duration) -> Self {
        const { assert!(CAPACITY >= COST) };
        let budget = TokenBucket::new(
            const { NonZeroU32::new(CAPACITY).unwrap() },
            const { NonZeroU32::new(COST).unwrap() },
        );
        Self {
            delay,
            latencies: None,
            attempts: const { NonZeroU32::new(2).unwrap() },
            budget: budget.expect("its cost is within its capacity, as asserted above"),
            ready_within: READY_WITHIN,
            longest_hint: LONGEST_HINT,
            name: None,
        }
    }
}

/// Of the default budget: each success earns a twentieth of a hedge, and ten may be saved up.
const CAPACITY: u32 = 200;
const COST: u32 = 20;

impl<G> Hedging<G> {
    /// Sends another attempt after this quantile of how long requests took in the last half minute,
    /// up to an eighth later: with 0.95, for one request in twenty. Until enough have succeeded, 32,
    /// it is after the delay that was given.
    ///
    /// It costs each request two looks at the clock and a short lock.
    ///
    /// # Errors
    /// If it is less than 0.001 or more than 0.999, or not a number. It counts in thousandths.
    pub fn with_quantile(mut self, quantile: f64) -> Result<Self, InvalidHedging> {
        let thousandths = (quantile * 1_000.0).round();
        if !(1.0..=999.0).contains(&thousandths) {
            return Err(InvalidHedging("the quantile must be from 0.001 to 0.999"));
        }
        let latencies = Latencies::new(thousandths as u32, Instant::now());
        self.latencies = Some(Arc::new(Mutex::new(latencies)));
        Ok(self)
    }

    /// So many attempts for each request, the first one included, a delay apart.
    pub const fn with_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Hedges only what this budget can afford. It may be that of retries: then give one of the two a
    /// [`SpendOnly`](crate::SpendOnly), which says to which.
    pub fn with_budget<T: Budget>(self, budget: T) -> Hedging<T> {
        Hedging {
            delay: self.delay,
            latencies: self.latencies,
            attempts: self.attempts,
            budget,
            ready_within: self.ready_within,
            longest_hint: self.longest_hint,
            name: self.name,
        }
    }

    /// How long the service below may take to become ready for a hedge; then the request goes on
    /// without, until another attempt fails. Zero: it must be ready at once.
    pub const fn with_ready_within(mut self, ready_within: Duration) -> Self {
        self.ready_within = ready_within;
        self
    }

    /// If a server wants to be left alone for longer than this, there are no more hedges.
    pub const fn with_longest_hint(mut self, longest_hint: Duration) -> Self {
        self.longest_hint = longest_hint;
        self
    }

    /// The name in its events.
    pub const fn with_name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }
}

impl<G> Hedging<G> {
    /// When a request begins, if that is of interest.
    fn begun(&self) -> Option<Instant> {
        self.latencies.as_ref().map(|_| Instant::now())
    }

    fn succeeded(&self, begun: Option<Instant>) {
        if let (Some(latencies), Some(begun)) = (&self.latencies, begun) {
            let now = Instant::now();
            // Counts, of which a half-made change leaves one too few.
            let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.record(now, now.saturating_duration_since(begun));
        }
    }

    /// After which another attempt is sent.
    fn delay(&self) -> Duration {
        let quantile = self.latencies.as_ref().and_then(|latencies| {
            let now = Instant::now();
            let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.quantile(now)
        });
        quantile.unwrap_or(self.delay)
    }
}

impl<P, G> HedgeLayer<P, G> {
    /// Hedges requests that this policy copies.
    pub const fn new(hedging: Hedging<G>, policy: P) -> Self {
        Self { hedging, policy }
    }

    /// Hedges only requests of which this is true; all others pass through once, and are not copied.
    pub fn only_if<Req, F>(self, may_hedge: F) -> HedgeLayer<OnlyIf<P, F>, G>
    where
        F: Fn(&Req) -> bool,
    {
        HedgeLayer {
            hedging: self.hedging,
            policy: OnlyIf {
                policy: self.policy,
                may_retry: may_hedge,
            },
        }
    }

    /// Sends no hedge past this time of a request.
    pub fn with_deadline<Req, D>(self, deadline: D) -> HedgeLayer<WithDeadline<P, D>, G>
    where
        D: Fn(&Req) -> Option<Instant>,
    {
        HedgeLayer {
            hedging: self.hedging,
            policy: WithDeadline {
                policy: self.policy,
                deadline,
            },
        }
    }
}

impl<P, S, G> Hedge<P, S, G> {
    /// Hedges requests that this policy copies.
    pub const fn new(hedging: Hedging<G>, policy: P, service: S) -> Self {
        Self {
            hedging,
            policy,
            service,
        }
    }

    /// The service below.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.service
    }

    /// The service below.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// The service below.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<P: Clone, G: Clone, S> Layer<S> for HedgeLayer<P, G> {
    type Service = Hedge<P, S, G>;

    fn layer(&self, service: S) -> Self::Service {
        Hedge::new(self.hedging.clone(), self.policy.clone(), service)
    }
}

impl<P, S, G, Req> Service<Req> for Hedge<P, S, G>
where
    P: Policy<Req, S::Response, S::Error> + Clone,
    S: Service<Req> + Clone,
    G: Budget + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HedgeFuture<P, S, Req, G>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        self.hedging.budget.requested();
        let mut policy = self.policy.clone();
        let deadline = policy.deadline(&request);
        let copy = if self.hedging.attempts.get() > 1 {
            policy.copy(&request)
        } else {
            None
        };
        policy.prepare(&mut request, 1);
        // The clone is for hedges, and readied then: this handle is the one that is ready.
        let again = copy.map(|copy| (copy, self.service.clone()));
        let first = self.service.call(request);
        HedgeFuture::new(first, again, policy, self.hedging.clone(), deadline)
    }
}

impl<P, G: fmt::Debug> fmt::Debug for HedgeLayer<P, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer")
            .field("hedging", &self.hedging)
            .finish_non_exhaustive()
    }
}

impl<P, S: fmt::Debug, G: fmt::Debug> fmt::Debug for Hedge<P, S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("hedging", &self.hedging)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidHedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidHedging {}
