use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Outcome;

/// Whether and when a task that has ended is run again.
///
/// The delays come from an iterator, and `backoff` makes one for each series of failures. A series ends
/// with a run that completed, or that lasted for a minute ([`with_limit`](Self::with_limit): for the limit's
/// window). When an iterator has no more delays, the task is given up.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Supervision<B> {
    restart: Restart,
    backoff: B,
    limit: Option<RestartLimit>,
}

/// After which outcomes a task is run again. Never after it was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After none.
    Never,
    /// After errors and panics.
    OnFailure,
    /// After all.
    Always,
}

/// How many restarts within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    restarts: NonZeroU32,
    window: Duration,
}

/// A limit that can never be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRestartLimit(&'static str);

/// The window without a limit.
const MINUTE: Duration = Duration::from_secs(60);

impl<B> Supervision<B> {
    /// Without a limit. A backoff is a closure that makes an iterator, `|| repeat(SECOND)` for instance.
    pub const fn new(restart: Restart, backoff: B) -> Self {
        Self {
            restart,
            backoff,
            limit: None,
        }
    }

    /// Gives the task up when it ends with so many restarts behind it in the limit's window.
    pub const fn with_limit(mut self, limit: RestartLimit) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl RestartLimit {
    /// So many restarts within `window`.
    ///
    /// # Errors
    /// If `window` is zero.
    pub const fn new(restarts: NonZeroU32, window: Duration) -> Result<Self, InvalidRestartLimit> {
        if window.is_zero() {
            return Err(InvalidRestartLimit(
                "the window of a restart limit must not be zero",
            ));
        }
        Ok(Self { restarts, window })
    }

    /// How many.
    #[must_use]
    pub const fn restarts(&self) -> NonZeroU32 {
        self.restarts
    }

    /// Within how long.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }
}

impl fmt::Display for InvalidRestartLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidRestartLimit {}

/// The restarts of one task.
pub(crate) struct Restarts<B, I> {
    supervision: Supervision<B>,
    /// Of the series of failures that goes on.
    delays: Option<I>,
    /// Those in the window, if there is a limit.
    recent: VecDeque<Instant>,
    count: u64,
}

/// What is done after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    End,
    Restart { delay: Duration },
    GiveUp,
}

impl<B: Fn() -> I, I: Iterator<Item = Duration>> Restarts<B, I> {
    pub(crate) const fn new(supervision: Supervision<B>) -> Self {
        Self {
            supervision,
            delays: None,
            recent: VecDeque::new(),
            count: 0,
        }
    }

    /// After a run that lasted from `begun` to `now`.
    pub(crate) fn after(&mut self, outcome: &Outcome, begun: Instant, now: Instant) -> Next {
        let is_completed = matches!(outcome, Outcome::Completed);
        match self.supervision.restart {
            Restart::Never => return Next::End,
            Restart::OnFailure if is_completed => return Next::End,
            Restart::OnFailure | Restart::Always => {}
        }
        let limit = self.supervision.limit;
        let window = limit.map_or(MINUTE, |limit| limit.window);
        if is_completed || now - begun >= window {
            self.delays = None;
        }
        if let Some(limit) = limit {
            while (self.recent.front()).is_some_and(|&restart| now - restart >= window) {
                self.recent.pop_front();
            }
            if self.recent.len() >= limit.restarts.get() as usize {
                return Next::GiveUp;
            }
        }
        let delays = self.delays.get_or_insert_with(&self.supervision.backoff);
        let Some(delay) = delays.next() else {
            return Next::GiveUp;
        };
        if limit.is_some() {
            self.recent.push_back(now);
        }
        self.count += 1;
        Next::Restart { delay }
    }

    /// How many there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}
