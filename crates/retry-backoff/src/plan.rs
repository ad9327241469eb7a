use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::{Account, Budget, TokenBucket};
use crate::engine::Engine;
use crate::{ConstantBackoff, ExponentialBackoff};

/// How often, when and within which bounds a request is tried again.
///
/// | knob | default |
/// |---|---|
/// | attempts, the first one included | 3, if it is [`Plan::default`] |
/// | [`with_backoff`](Self::with_backoff) | [`ExponentialBackoff::default`]: 50 ms to 20 s, full jitter |
/// | [`with_budget`](Self::with_budget) | [`TokenBucket::default`], as the AWS SDKs |
/// | [`with_total_time`](Self::with_total_time) | none |
/// | [`with_ready_within`](Self::with_ready_within) | 100 ms |
/// | [`with_longest_hint`](Self::with_longest_hint) | one minute |
/// | [`with_transparent_retries`](Self::with_transparent_retries), on the last attempt too | not |
/// | [`with_name`](Self::with_name) | none |
///
/// Clones share the budget. It is a plain value: [`start`](Self::start) an [`Engine`] from it for
/// each request, where no [`Retry`](crate::Retry) can be used.
#[derive(Clone, Debug)]
#[must_use]
pub struct Plan<B = ExponentialBackoff, G = TokenBucket> {
    pub(crate) attempts: NonZeroU32,
    pub(crate) backoff: B,
    pub(crate) budget: G,
    pub(crate) total_time: Option<Duration>,
    pub(crate) ready_within: Duration,
    longest_hint: Duration,
    is_transparent: bool,
    pub(crate) name: Option<&'static str>,
}

/// As long as a caller hardly notices.
pub(crate) const READY_WITHIN: Duration = Duration::from_millis(100);
/// Hardly a caller waits longer.
pub(crate) const LONGEST_HINT: Duration = Duration::from_secs(60);

impl Plan {
    /// So many attempts for each request, the first one included: with one, nothing is retried.
    pub fn new(attempts: NonZeroU32) -> Self {
        Self {
            attempts,
            backoff: ExponentialBackoff::default(),
            budget: TokenBucket::default(),
            total_time: None,
            ready_within: READY_WITHIN,
            longest_hint: LONGEST_HINT,
            is_transparent: false,
            name: None,
        }
    }
}

impl<B, G> Plan<B, G> {
    /// Waits for these delays. Each request makes an iterator of its own at its first failure; if
    /// that ends, so do the attempts. An array of durations will do.
    pub fn with_backoff<T>(self, backoff: T) -> Plan<T, G>
    where
        T: IntoIterator<Item = Duration> + Clone,
    {
        Plan {
            attempts: self.attempts,
            backoff,
            budget: self.budget,
            total_time: self.total_time,
            ready_within: self.ready_within,
            longest_hint: self.longest_hint,
            is_transparent: self.is_transparent,
            name: self.name,
        }
    }

    /// Retries at once.
    pub fn without_backoff(self) -> Plan<ConstantBackoff, G> {
        self.with_backoff(ConstantBackoff::new(Duration::ZERO))
    }

    /// Retries only what this budget can afford.
    pub fn with_budget<T: Budget>(self, budget: T) -> Plan<B, T> {
        Plan {
            attempts: self.attempts,
            backoff: self.backoff,
            budget,
            total_time: self.total_time,
            ready_within: self.ready_within,
            longest_hint: self.longest_hint,
            is_transparent: self.is_transparent,
            name: self.name,
        }
    }

    /// No retry begins later than this after the request. An attempt that is under way is not cut
    /// short: that is for a timeout, above or below.
    pub const fn with_total_time(mut self, total_time: Duration) -> Self {
        self.total_time = Some(total_time);
        self
    }

    /// How long the inner service may take to become ready for a retry; then the last result is
    /// returned. Zero: it must be ready at once.
    pub const fn with_ready_within(mut self, ready_within: Duration) -> Self {
        self.ready_within = ready_within;
        self
    }

    /// A server that wants to be left alone for longer than this is not waited for: the result with
    /// that hint is returned at once.
    pub const fn with_longest_hint(mut self, longest_hint: Duration) -> Self {
        self.longest_hint = longest_hint;
        self
    }

    /// Sends what was [`NotSent`](crate::Outcome::NotSent) or
    /// [`NotProcessed`](crate::Outcome::NotProcessed) again on the last attempt too, or the only one.
    ///
    /// This costs each request a copy more, since it must be kept until its end: for requests that
    /// are cheap to copy, or are kept anyway.
    pub const fn with_transparent_retries(mut self) -> Self {
        self.is_transparent = true;
        self
    }

    /// The name in its events.
    pub const fn with_name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// How many attempts there may be, the first one included.
    #[must_use]
    pub const fn attempts(&self) -> NonZeroU32 {
        self.attempts
    }

    /// What all retries are paid from.
    #[must_use]
    pub const fn budget(&self) -> &G {
        &self.budget
    }
}

impl<B, G> Plan<B, G>
where
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget + Clone,
{
    /// For a request whose first attempt is sent now, and whose caller waits until `deadline`.
    ///
    /// `now` is asked only if the total time is limited.
    #[inline]
    pub fn start(&self, deadline: Option<Instant>, now: impl FnOnce() -> Instant) -> Engine<B, G> {
        // A total time beyond the end of time is no limit.
        let end = self.total_time.and_then(|total| now().checked_add(total));
        let deadline = match (deadline, end) {
            (Some(deadline), Some(end)) => Some(deadline.min(end)),
            (deadline, end) => deadline.or(end),
        };
        self.budget.requested();
        Engine::new(
            self.attempts,
            self.backoff.clone(),
            Account::new(self.budget.clone()),
            deadline,
            self.longest_hint,
            self.is_transparent,
        )
    }
}

/// Three attempts.
impl Default for Plan {
    fn default() -> Self {
        Self::new(const { NonZeroU32::new(3).unwrap() })
    }
}
