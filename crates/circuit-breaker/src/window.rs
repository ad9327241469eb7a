use std::time::Duration;

use tokio::time::Instant;

use crate::{
    InvalidRule, call_window::CallWindow, clock::Tick, meter::Meter, time_window::TimeWindow,
};

/// Which calls a rate is taken over, and how many of them there must be before it counts.
///
/// Both kinds are exact: a rate is that of the calls in the window, not an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    span: Span,
    min_calls: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Span {
    Calls(u32),
    Time(Duration),
}

/// The calls in a window, and the bad ones among them.
///
/// Good calls are counted in its [`Meter`] by threads that do not hold the lock which this is under;
/// bad ones only here.
#[derive(Debug)]
pub(crate) enum Outcomes {
    Calls(CallWindow),
    Time(Box<TimeWindow>),
}

/// How many calls a window holds, and how many of them are bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) bad: u64,
}

impl Window {
    /// The most calls that [`Window::last_calls`] can hold: each costs a bit.
    pub const MAX_CALLS: u32 = 1 << 20;

    /// The shortest window of time: a tenth of it is a step, and a step is at least a millisecond.
    pub const MIN_TIME: Duration = Duration::from_millis(10);

    /// The longest window of time.
    pub const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// The last `calls` calls, counted once there are `min_calls` of them.
    ///
    /// # Errors
    /// If `min_calls` is zero or greater than `calls`, or `calls` greater than [`Window::MAX_CALLS`].
    pub const fn last_calls(calls: u32, min_calls: u32) -> Result<Self, InvalidRule> {
        if min_calls == 0 {
            return Err(InvalidRule("the minimum of calls must not be zero"));
        }
        if min_calls > calls {
            return Err(InvalidRule(
                "the minimum of calls must not be greater than the window",
            ));
        }
        if calls > Self::MAX_CALLS {
            return Err(InvalidRule(
                "a window must not be longer than 1,048,576 calls",
            ));
        }
        Ok(Self {
            span: Span::Calls(calls),
            min_calls,
        })
    }

    /// The calls that ended in the last `length`, counted once there are `min_calls` of them.
    ///
    /// Time passes in steps of a tenth of `length`: the window is as long as it says at the end of a
    /// step, and a tenth shorter at the start of one.
    ///
    /// # Errors
    /// If `min_calls` is zero, or `length` not within [`Window::MIN_TIME`] and [`Window::MAX_TIME`].
    pub const fn last_time(length: Duration, min_calls: u32) -> Result<Self, InvalidRule> {
        if min_calls == 0 {
            return Err(InvalidRule("the minimum of calls must not be zero"));
        }
        if length.as_nanos() < Self::MIN_TIME.as_nanos() {
            return Err(InvalidRule("a window must not be shorter than 10 ms"));
        }
        if length.as_nanos() > Self::MAX_TIME.as_nanos() {
            return Err(InvalidRule("a window must not be longer than 24 h"));
        }
        Ok(Self {
            span: Span::Time(length),
            min_calls,
        })
    }

    pub(crate) const fn min_calls(&self) -> u32 {
        self.min_calls
    }

    pub(crate) const fn span(&self) -> Span {
        self.span
    }
}

impl Outcomes {
    pub(crate) fn new(meter: &'static Meter) -> Self {
        match meter.span() {
            Span::Calls(calls) => Self::Calls(CallWindow::new(calls, meter)),
            Span::Time(_) => Self::Time(Box::new(TimeWindow::new(meter))),
        }
    }

    pub(crate) fn push(&mut self, bad: bool, generation: u64, now: Instant) {
        match self {
            Self::Calls(window) => window.push(bad, generation),
            Self::Time(window) => window.push(bad, generation, now),
        }
    }

    pub(crate) fn counts(&mut self, generation: u64, now: Instant) -> Counts {
        match self {
            Self::Calls(window) => window.counts(generation),
            Self::Time(window) => window.counts(generation, now),
        }
    }

    /// Takes the count of this thread's cell over from the meter, when that is full.
    pub(crate) fn relieve(&mut self, generation: u64, now: Option<Tick>) {
        match self {
            Self::Calls(window) => window.relieve(generation),
            Self::Time(window) => window.relieve(generation, now),
        }
    }
}
