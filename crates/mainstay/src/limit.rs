use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// At most so many calls at a time; a stream counts until its end. Clones share it.
///
/// Who comes when there are as many waits in a queue, first come first served, for a second by
/// default, and is then refused as [`Full`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ConcurrencyLimit {
    semaphore: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
    max: NonZeroU32,
    wait_within: Duration,
}

/// A [`ConcurrencyLimit`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// How many calls there may be at a time.
    pub max: NonZeroU32,
    /// How many there are.
    pub in_use: u32,
    /// How many were refused so far.
    pub refused: u64,
}

/// The right to make one call.
#[derive(Debug)]
pub(crate) struct Slot {
    #[expect(dead_code, reason = "kept for what it does when dropped")]
    permit: OwnedSemaphorePermit,
}

/// There were as many calls as there may be, for as long as this one could wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    max: NonZeroU32,
    waited: Duration,
}

impl ConcurrencyLimit {
    /// At most `max` calls.
    pub fn new(max: NonZeroU32) -> Self {
        // What a semaphore can count to depends on the machine, and is above what memory can hold.
        let permits = usize::try_from(max.get()).unwrap_or(usize::MAX);
        Self {
            semaphore: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            refused: Arc::default(),
            max,
            wait_within: Duration::from_secs(1),
        }
    }

    /// How long a call waits for its turn, if its deadline does not come first. Zero: not at all.
    pub const fn with_wait_within(mut self, wait_within: Duration) -> Self {
        self.wait_within = wait_within;
        self
    }

    /// How many calls there may be at a time.
    #[must_use]
    pub const fn max(&self) -> NonZeroU32 {
        self.max
    }

    /// How it is.
    #[must_use]
    pub fn snapshot(&self) -> LimitSnapshot {
        let free = u32::try_from(self.semaphore.available_permits()).unwrap_or(u32::MAX);
        LimitSnapshot {
            max: self.max,
            in_use: self.max.get().saturating_sub(free),
            refused: self.refused.load(Relaxed),
        }
    }

    pub(crate) async fn enter(&self) -> Result<Slot, Full> {
        if let Ok(permit) = Arc::clone(&self.semaphore).try_acquire_owned() {
            return Ok(Slot { permit });
        }
        // A timer takes a millisecond at least.
        if !self.wait_within.is_zero() {
            let waiting = Arc::clone(&self.semaphore).acquire_owned();
            // It is never closed.
            if let Ok(Ok(permit)) = timeout(self.wait_within, waiting).await {
                return Ok(Slot { permit });
            }
        }
        self.refused.fetch_add(1, Relaxed);
        Err(Full {
            max: self.max,
            waited: self.wait_within,
        })
    }
}

impl Full {
    /// How many calls there may be at a time.
    #[must_use]
    pub const fn max(&self) -> NonZeroU32 {
        self.max
    }

    /// How long the call had waited.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max, waited } = self;
        write!(
            f,
            "there were {max} calls at a time for {waited:?}, which is as many as there may be"
        )
    }
}

impl Error for Full {}
