use std::num::NonZeroU32;

use super::word::Word;
use super::{Budget, Cause, InvalidBudget, Withdrawal};
use crate::shared::Shared;

/// Tokens that retries cost and successes earn, as in the AWS SDKs.
///
/// A request that succeeds at once earns one token; one that succeeds after retries gets back what
/// its last retry has cost. While most requests succeed the bucket stays full and retries are free;
/// in an outage it empties, and retries all but cease until successes fill it again.
///
/// | knob | default |
/// |---|---|
/// | capacity | 500 |
/// | cost of a retry | 5 |
/// | [`with_timeout_cost`](Self::with_timeout_cost): after a timeout | 10; with [`new`](Self::new), the cost |
/// | [`with_throttled_cost`](Self::with_throttled_cost): after throttling | the cost |
/// | [`with_refill`](Self::with_refill): what a success earns | 1 |
///
/// Clones share the tokens, but each has costs and refill of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenBucket {
    tokens: Shared<Word>,
    capacity: NonZeroU32,
    cost: u32,
    timeout_cost: u32,
    throttled_cost: u32,
    refill: NonZeroU32,
}

impl TokenBucket {
    /// A full bucket.
    ///
    /// # Errors
    /// If a retry costs more than the bucket holds.
    pub fn new(capacity: NonZeroU32, cost: NonZeroU32) -> Result<Self, InvalidBudget> {
        let cost = affordable(cost, capacity)?;
        Ok(Self::full(capacity, cost, cost))
    }

    /// What a retry costs after [`Cause::Timeout`].
    ///
    /// # Errors
    /// If it is more than the bucket holds.
    pub fn with_timeout_cost(mut self, cost: NonZeroU32) -> Result<Self, InvalidBudget> {
        self.timeout_cost = affordable(cost, self.capacity)?;
        Ok(self)
    }

    /// What a retry costs after [`Cause::Throttled`].
    ///
    /// # Errors
    /// If it is more than the bucket holds.
    pub fn with_throttled_cost(mut self, cost: NonZeroU32) -> Result<Self, InvalidBudget> {
        self.throttled_cost = affordable(cost, self.capacity)?;
        Ok(self)
    }

    /// What a request earns that succeeds at once.
    pub const fn with_refill(mut self, refill: NonZeroU32) -> Self {
        self.refill = refill;
        self
    }

    /// How many tokens there are now.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens.get()
    }

    fn full(capacity: NonZeroU32, cost: u32, timeout_cost: u32) -> Self {
        Self {
            tokens: Word::shared(capacity.get()),
            capacity,
            cost,
            timeout_cost,
            throttled_cost: cost,
            refill: NonZeroU32::MIN,
        }
    }
}

/// A cost above the capacity would forbid every retry.
fn affordable(cost: NonZeroU32, capacity: NonZeroU32) -> Result<u32, InvalidBudget> {
    if cost > capacity {
        return Err(InvalidBudget("a retry costs more than the bucket holds"));
    }
    Ok(cost.get())
}

impl Budget for TokenBucket {
    #[inline]
    fn succeeded(&self, paid: Option<Withdrawal>) {
        let earned = paid.map_or(self.refill.get(), |paid| paid.amount());
        self.tokens.add(earned, self.capacity.get());
    }

    fn withdraw(&self, cause: Cause) -> Option<Withdrawal> {
        let cost = match cause {
            Cause::Transient => self.cost,
            Cause::Timeout => self.timeout_cost,
            Cause::Throttled => self.throttled_cost,
        };
        let taken = self.tokens.take(cost);
        taken.then_some(Withdrawal::new(cost, 0))
    }

    fn give_back(&self, unspent: Withdrawal) {
        self.tokens.add(unspent.amount(), self.capacity.get());
    }
}

/// As the AWS SDKs have it: 500 tokens, 5 for a retry, 10 after a timeout.
impl Default for TokenBucket {
    fn default() -> Self {
        let capacity = const { NonZeroU32::new(500).unwrap() };
        Self::full(capacity, 5, 10)
    }
}
