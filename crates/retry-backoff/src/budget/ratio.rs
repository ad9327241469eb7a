use std::time::Duration;

use tokio::time::Instant;

use self::ledger::{COST, Ledger, SLICES, Terms};
use super::{Budget, Cause, InvalidBudget, Withdrawal};
use crate::shared::Shared;
use crate::spares::{Spares, threads};

mod counted;
mod ledger;

/// A share of the requests of the last seconds, and some retries each second above it, as in
/// Finagle.
///
/// Each request allows for a part of a retry, whatever becomes of it, and what is not used is
/// forgotten after a while. So the load is never more than that share above what was asked for, in
/// an outage too; but nor is it less, where a [`TokenBucket`](super::TokenBucket) would all but
/// stop.
///
/// | knob | default |
/// |---|---|
/// | ratio of retries to requests | 0.2 |
/// | retries a second that are allowed in any case, saved up for as long as a request counts: a hundred may come together | 10 |
/// | [`with_ttl`](Self::with_ttl): how long a request counts | 10 s, in ten steps |
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryRatio {
    ledger: Shared<Ledger>,
    since: Instant,
    /// In thousandths, as what one request allows for is not always whole.
    ratio: u32,
    min_per_second: u32,
    tick: Tick,
}

/// The step in which time is counted.
#[derive(Clone, Copy, Debug)]
struct Tick {
    nanos: u64,
    /// 2^64 divided by them and rounded up, since to multiply takes a fraction of a division.
    inverse: u64,
}

static LEDGERS: Spares<Ledger> = Spares::new();

impl RetryRatio {
    /// Retries up to `ratio` times the requests (it counts in thousandths), and `min_per_second`.
    ///
    /// # Errors
    /// If the ratio is negative, above 1,000 or not a number, if there are more than a million each
    /// second, or if both are zero.
    pub fn new(ratio: f64, min_per_second: u32) -> Result<Self, InvalidBudget> {
        let ratio = (ratio * 1_000.0).round();
        if !(0.0..=1e6).contains(&ratio) {
            return Err(InvalidBudget("the ratio must be from 0 to 1000"));
        }
        if min_per_second > 1_000_000 {
            return Err(InvalidBudget(
                "there must be no more than a million retries a second",
            ));
        }
        let ratio = ratio as u32;
        if ratio == 0 && min_per_second == 0 {
            return Err(InvalidBudget("a ratio and a minimum of 0 allow nothing"));
        }
        Ok(Self {
            ledger: fresh(),
            since: Instant::now(),
            ratio,
            min_per_second,
            tick: Tick::new(1_000_000_000),
        })
    }

    /// How long a request counts. It begins to count anew, apart from what it was cloned from.
    ///
    /// # Errors
    /// If it is less than a second or more than a minute.
    pub fn with_ttl(mut self, ttl: Duration) -> Result<Self, InvalidBudget> {
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(60) {
            return Err(InvalidBudget("the ttl must be from 1 s to 60 s"));
        }
        self.tick = Tick::new(ttl.as_nanos() as u64 / SLICES);
        self.ledger = fresh();
        Ok(self)
    }

    /// How many retries there are left now.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.ledger.left(self.now(), self.terms()) / COST
    }

    /// In ticks.
    fn now(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.since);
        self.tick.index(elapsed)
    }

    const fn terms(&self) -> Terms {
        Terms {
            ratio: self.ratio,
            // Retries a second times milliseconds: thousandths of a retry already.
            reserve: self.min_per_second as u64 * (self.tick.nanos * SLICES / 1_000_000),
        }
    }
}

fn fresh() -> Shared<Ledger> {
    LEDGERS.take(|| Ledger::new(threads()), Ledger::clear)
}

impl Tick {
    const fn new(nanos: u64) -> Self {
        Self {
            nanos,
            inverse: u64::MAX / nanos + 1,
        }
    }

    /// Of which tick a time is. In the first seconds exactly; later a tick begins early by less than
    /// a part in ten thousand million of the time since the start, the same for all.
    #[inline]
    const fn index(self, elapsed: Duration) -> u64 {
        let nanos = elapsed.as_nanos() as u64;
        ((nanos as u128 * self.inverse as u128) >> 64) as u64
    }
}

impl Budget for RetryRatio {
    // Not inlined: beside it the rest of what makes a future is small, and is built in its place.
    #[inline(never)]
    fn requested(&self) {
        self.ledger.requests.add(self.now());
    }

    fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
        let now = self.now();
        let withdrawn = self.ledger.withdraw(now, self.terms());
        withdrawn.then_some(Withdrawal::new(1, now))
    }

    fn give_back(&self, unspent: Withdrawal) {
        self.ledger.retries.take_back(unspent.mark());
    }
}

/// A fifth of the requests of the last 10 s, and 10 retries each second.
impl Default for RetryRatio {
    fn default() -> Self {
        Self::new(0.2, 10).expect("both are within their bounds")
    }
}

#[cfg(test)]
mod tests;
