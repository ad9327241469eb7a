use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::slices::{COST, Slices};
use super::{Budget, Cause, InvalidBudget, Withdrawal};

mod slices;

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
/// | retries each second that are always allowed | 10 |
/// | [`with_ttl`](Self::with_ttl): how long a request counts | 10 s, in ten steps |
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryRatio {
    slices: Arc<Mutex<Slices>>,
    since: Instant,
    /// In thousandths, as Finagle's retries are not always whole.
    ratio: u32,
    min_per_second: u32,
    slice: Duration,
}

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
            slices: Arc::default(),
            since: Instant::now(),
            ratio,
            min_per_second,
            slice: Duration::from_secs(1),
        })
    }

    /// How long a request counts; set it before the first one.
    ///
    /// # Errors
    /// If it is less than a second or more than a minute.
    pub fn with_ttl(mut self, ttl: Duration) -> Result<Self, InvalidBudget> {
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(60) {
            return Err(InvalidBudget("the ttl must be from 1 s to 60 s"));
        }
        self.slice = ttl / Slices::COUNT;
        Ok(self)
    }

    /// How many retries there are left now.
    #[must_use]
    pub fn retries(&self) -> u64 {
        let now = self.tick();
        let balance = self.lock().balance(now, self.ratio) + self.reserve();
        u64::try_from(balance / COST).unwrap_or(0)
    }

    fn tick(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.since);
        (elapsed.as_nanos() / self.slice.as_nanos()) as u64
    }

    /// What may be withdrawn beyond what was deposited.
    fn reserve(&self) -> i64 {
        let ttl = (self.slice * Slices::COUNT).as_millis() as i64;
        // Retries a second times milliseconds: thousandths of a retry already.
        i64::from(self.min_per_second) * ttl * (COST / 1_000)
    }

    /// Slices are whole whatever happened to those who held the lock.
    fn lock(&self) -> MutexGuard<'_, Slices> {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget for RetryRatio {
    fn requested(&self) {
        let now = self.tick();
        self.lock().deposit(now);
    }

    fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
        let now = self.tick();
        let withdrawn = self.lock().withdraw(now, self.ratio, self.reserve());
        withdrawn.then_some(Withdrawal::new(1, now))
    }

    fn give_back(&self, unspent: Withdrawal) {
        let now = self.tick();
        self.lock().give_back(now, unspent.mark());
    }
}

/// A fifth of the requests of the last 10 s, and 10 retries each second.
impl Default for RetryRatio {
    fn default() -> Self {
        Self::new(0.2, 10).expect("both are within their bounds")
    }
}
