//! What may be done with an answer, by its age.

use std::time::Duration;

use crate::{
    tick::{Tick, nanos},
    ttl::Ttl,
};

/// The moments of an answer's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Until then it is fresh, and there is nothing to think about.
    pub(crate) calm_until: Tick,
    pub(crate) fresh_until: Tick,
    /// Until then it may be given while it is refreshed.
    pub(crate) stale_until: Tick,
    /// Until then it may be given if a load fails.
    pub(crate) error_until: Tick,
    /// The mean, in nanoseconds, of how long before its end an answer is refreshed early.
    pub(crate) spread: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    /// Fresh, and to be refreshed already.
    Early,
    /// May be given, and is to be refreshed.
    Due,
    /// May be given; a load that failed lately is not tried again yet.
    Resting,
    /// Good only if a load fails.
    Spent,
    /// Good for nothing.
    Dead,
}

/// The smallest number that can be drawn is 2^-53, of which the logarithm is -36.7: no draw refreshes
/// an answer earlier than 37 times the mean.
const EARLIEST: f64 = 37.0;

impl Windows {
    /// Of an answer that has come `now`, after a load that took so long. `u` is a draw from 0 to 1.
    pub(crate) fn open(ttl: &Ttl, now: Tick, load: Duration, u: f64) -> Self {
        let fresh = if ttl.jitter > 0.0 {
            let kept = nanos(ttl.fresh) as f64 * ttl.jitter.mul_add(-u, 1.0);
            // A float that is too great becomes the greatest integer. Even with a jitter of all it is
            // fresh for a moment.
            Duration::from_nanos((kept as u64).max(1))
        } else {
            ttl.fresh
        };
        let fresh_until = now.after(fresh);
        let spread = nanos(load) as f64 * ttl.beta;
        let early = (spread * EARLIEST) as u64;
        Self {
            calm_until: Tick(fresh_until.0.saturating_sub(early)),
            fresh_until,
            stale_until: fresh_until.after(ttl.while_revalidating),
            error_until: fresh_until.after(ttl.if_error),
            spread,
        }
    }

    /// Of a failure that is told again for so long: it has always to be thought about.
    pub(crate) fn of_failure(now: Tick, time: Duration) -> Self {
        let until = now.after(time);
        Self {
            calm_until: Tick(0),
            fresh_until: until,
            stale_until: until,
            error_until: until,
            spread: 0.0,
        }
    }

    /// Whether it is fresh while it is calm, and dead after that.
    pub(crate) fn are_plain(&self) -> bool {
        let only = [self.fresh_until, self.stale_until, self.error_until];
        only == [self.calm_until; 3]
    }

    /// No load is tried again before `retry_at`. `draw` is asked, from 0 to 1, only near the end.
    pub(crate) fn age(&self, now: Tick, retry_at: Tick, draw: impl FnOnce() -> f64) -> Age {
        if now < self.calm_until {
            Age::Fresh
        } else if now < self.fresh_until {
            let is_early = self.spread > 0.0 && now >= retry_at && {
                let ahead = -self.spread * draw().ln();
                now.0.saturating_add(ahead as u64) >= self.fresh_until.0
            };
            if is_early { Age::Early } else { Age::Fresh }
        } else if now < self.stale_until.max(self.error_until) && now < retry_at {
            Age::Resting
        } else if now < self.stale_until {
            Age::Due
        } else if now < self.error_until {
            Age::Spent
        } else {
            Age::Dead
        }
    }

    /// From then on the answer is good for nothing.
    pub(crate) fn dead_at(&self) -> Tick {
        self.stale_until.max(self.error_until)
    }
}
