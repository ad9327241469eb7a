use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::{Account, Budget, Cause};
use crate::deadline::{TICK, is_too_late};
use crate::outcome::Outcome;

/// The attempts of one request: values in, decision out.
///
/// [`Retry`](crate::Retry) is a loop around it. Whoever learns the outcome of an attempt only later,
/// or does not call a service, runs that loop himself:
///
/// ```
/// # use mainstay_retry_backoff::{Decision, Outcome, Plan, Stop};
/// # use tokio::time::Instant;
/// # fn send(attempt: u32) -> Outcome { if attempt == 1 { Outcome::transient() } else { Outcome::Success } }
/// let plan = Plan::default().without_backoff();
/// let mut engine = plan.start(None, Instant::now);
/// let stop = loop {
///     match engine.decide(send(engine.attempt()), Instant::now) {
///         Decision::Stop(stop) => break stop,
///         Decision::Retry { delay } => {
///             assert!(delay.is_zero()); // Or wait for it.
///             engine.begin();
///         }
///     }
/// };
/// assert_eq!((stop, engine.attempt()), (Stop::Succeeded, 2));
/// ```
///
/// # Cancel safety
/// What was withdrawn from the budget for a retry is given back if the engine is dropped before
/// [`begin`](Self::begin). After that it is spent: the server has the attempt.
pub struct Engine<B: IntoIterator, G: Budget> {
    attempts: NonZeroU32,
    attempt: u32,
    backoff: B,
    /// Made at the first failure, and anew after the server has set the time, and for attempts that
    /// are never sent.
    delays: Option<B::IntoIter>,
    account: Account<G>,
    deadline: Option<Instant>,
    longest_hint: Duration,
    next: Next,
    /// How many in a row.
    not_sent: u32,
    was_not_processed: bool,
    is_transparent: bool,
    is_committed: bool,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Send again when this time has passed, at once if it is zero; and say [`Engine::begin`] then.
    Retry {
        /// It ends before the deadline, with a timer that is late by up to two milliseconds, as
        /// tokio's.
        delay: Duration,
    },
    /// This attempt's result is the request's.
    Stop(Stop),
}

/// Why there is no other attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// This one succeeded.
    Succeeded,
    /// No attempt would succeed.
    Fatal,
    /// The server asked for no other.
    DoNotRetry,
    /// All have been made.
    Attempts,
    /// The request cannot be sent again.
    Committed,
    /// The backoff came to its end.
    Backoff,
    /// The server wants to be left alone for longer than the plan waits for any.
    LongHint,
    /// The next one would not begin before the caller's deadline, or within the total time.
    Deadline,
    /// The budget cannot afford another.
    Budget,
}

/// So many attempts in a row that were not sent are sent again at once; then they are waited for.
pub(crate) const NOT_SENT_AT_ONCE: u32 = 3;

/// What the next attempt will be.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// One more.
    Counted,
    /// The same again: what was sent came to nothing.
    Again,
}

impl<B, G> Engine<B, G>
where
    B: IntoIterator<Item = Duration> + Clone,
    G: Budget,
{
    #[inline]
    pub(crate) const fn new(
        attempts: NonZeroU32,
        backoff: B,
        account: Account<G>,
        deadline: Option<Instant>,
        longest_hint: Duration,
        is_transparent: bool,
    ) -> Self {
        Self {
            attempts,
            attempt: 1,
            backoff,
            delays: None,
            account,
            deadline,
            longest_hint,
            next: Next::Counted,
            not_sent: 0,
            was_not_processed: false,
            is_transparent,
            is_committed: false,
        }
    }

    /// The number of the attempt that is under way; the first one is 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether another attempt may follow this one, so that the request is worth keeping: always
    /// true with [`Plan::with_transparent_retries`](crate::Plan::with_transparent_retries), and
    /// otherwise until the last attempt is under way; but never after [`commit`](Self::commit).
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        self.may_follow(self.attempt)
    }

    /// Every other attempt begins before this.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the time for another attempt is over. Ask before [`begin`](Self::begin): waiting may
    /// have taken longer than it should.
    #[must_use]
    pub fn is_expired(&self, now: impl FnOnce() -> Instant) -> bool {
        is_too_late(self.deadline, Duration::ZERO, now)
    }

    /// There will be no other attempt: what was received is handed on already, or the request
    /// cannot be sent again.
    pub const fn commit(&mut self) {
        self.is_committed = true;
    }

    /// What follows from the outcome of the attempt that was under way.
    ///
    /// `now` is asked only after failures, and only if there is a deadline or a total time.
    pub fn decide(&mut self, outcome: Outcome, now: impl FnOnce() -> Instant) -> Decision {
        if !matches!(outcome, Outcome::NotSent)
            && std::mem::take(&mut self.not_sent) > NOT_SENT_AT_ONCE
        {
            // Those waits were not for the server.
            self.delays = None;
        }
        match outcome {
            Outcome::Success => {
                self.succeeded();
                Decision::Stop(Stop::Succeeded)
            }
            Outcome::Fatal => Decision::Stop(Stop::Fatal),
            Outcome::DoNotRetry => {
                self.account.budget().failed();
                Decision::Stop(Stop::DoNotRetry)
            }
            Outcome::NotSent => self.again(Self::delay_of_not_sent, now),
            Outcome::NotProcessed if !self.was_not_processed => {
                self.was_not_processed = true;
                self.again(|_| Some(Duration::ZERO), now)
            }
            Outcome::NotProcessed => self.failed(Cause::Transient, None, now),
            Outcome::Retryable { cause, after } => self.failed(cause, after, now),
        }
    }

    /// The attempt that was decided on is sent now. Returns its number.
    pub const fn begin(&mut self) -> u32 {
        self.account.spend();
        self.attempt = self.next_attempt();
        self.attempt
    }

    /// The attempt that was decided on will not be sent: what it would have cost is given back. As
    /// does dropping the engine.
    pub fn give_up(&mut self) {
        self.account.give_back();
    }

    #[inline]
    pub(crate) fn succeeded(&self) {
        self.account.budget().succeeded(self.account.paid());
    }

    /// The number of the attempt that was decided on.
    pub(crate) const fn next_attempt(&self) -> u32 {
        match self.next {
            Next::Counted => self.attempt.saturating_add(1),
            Next::Again => self.attempt,
        }
    }

    /// Whether another one may follow this attempt.
    pub(crate) const fn may_follow(&self, attempt: u32) -> bool {
        !self.is_committed && (self.is_transparent || attempt < self.attempts.get())
    }

    fn again(
        &mut self,
        delay: impl FnOnce(&mut Self) -> Option<Duration>,
        now: impl FnOnce() -> Instant,
    ) -> Decision {
        // It came to nothing: its price is for the next one, or goes back.
        self.account.unspend();
        let stop = if !self.is_transparent && self.attempt >= self.attempts.get() {
            Stop::Attempts
        } else if self.is_committed {
            Stop::Committed
        } else if let Some(delay) = delay(self) {
            if !is_too_late(self.deadline, delay, now) {
                self.next = Next::Again;
                return Decision::Retry { delay };
            }
            Stop::Deadline
        } else {
            Stop::Backoff
        };
        self.account.give_back();
        Decision::Stop(stop)
    }

    fn failed(
        &mut self,
        cause: Cause,
        after: Option<Duration>,
        now: impl FnOnce() -> Instant,
    ) -> Decision {
        // Before anything else: a throttle counts failures, not retries.
        self.account.budget().failed();
        if self.attempt >= self.attempts.get() {
            return Decision::Stop(Stop::Attempts);
        }
        if self.is_committed {
            return Decision::Stop(Stop::Committed);
        }
        if after.is_some_and(|after| after > self.longest_hint) {
            return Decision::Stop(Stop::LongHint);
        }
        let Some(delay) = self.delay(after) else {
            return Decision::Stop(Stop::Backoff);
        };
        // Before the budget: it is not to refuse others for a retry that has no time.
        if is_too_late(self.deadline, delay, now) {
            return Decision::Stop(Stop::Deadline);
        }
        if !self.account.withdraw(cause) {
            return Decision::Stop(Stop::Budget);
        }
        self.next = Next::Counted;
        Decision::Retry { delay }
    }

    fn delay(&mut self, after: Option<Duration>) -> Option<Duration> {
        if after.is_some() {
            self.delays = None;
            return after;
        }
        self.delays
            .get_or_insert_with(|| self.backoff.clone().into_iter())
            .next()
    }

    /// At once, the first few times; but a client that cannot send must not spin.
    fn delay_of_not_sent(&mut self) -> Option<Duration> {
        self.not_sent = self.not_sent.saturating_add(1);
        if self.not_sent <= NOT_SENT_AT_ONCE {
            return Some(Duration::ZERO);
        }
        if self.not_sent == NOT_SENT_AT_ONCE + 1 {
            self.delays = None;
        }
        self.delay(None).map(|delay| delay.max(TICK))
    }
}

impl<B: IntoIterator, G: Budget> fmt::Debug for Engine<B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("attempts", &self.attempts)
            .field("attempt", &self.attempt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
