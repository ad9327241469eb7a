use std::num::NonZeroU32;

use super::word::Word;
use super::{Budget, Cause, InvalidBudget, Withdrawal};
use crate::shared::Shared;

/// gRPC's retry throttle: retries only while more than half of its tokens are left.
///
/// Each failure takes one token, whether it is retried or not, each success adds a fraction of one,
/// and retries and hedges are allowed while there are more than half of all tokens. It is the most
/// careful of the budgets: with the usual 10 tokens and a ratio of 0.1 it stops all retries once
/// more than one request in eleven fails.
///
/// Share one among all calls to the same server, and no further.
#[derive(Clone, Debug)]
#[must_use]
pub struct GrpcThrottle {
    /// In thousandths, as everything here.
    tokens: Shared<Word>,
    max: u32,
    ratio: u32,
}

/// As a service config gives it.
const THOUSANDTHS: u32 = 1_000;

impl GrpcThrottle {
    /// With `max_tokens` tokens to begin with, of which a success earns `token_ratio`; decimal
    /// places beyond the third are ignored, as gRPC has it.
    ///
    /// # Errors
    /// If there are more than 1,000 tokens, or the ratio is below 0.001, above 1,000 or not a
    /// number.
    pub fn new(max_tokens: NonZeroU32, token_ratio: f64) -> Result<Self, InvalidBudget> {
        if max_tokens.get() > 1_000 {
            return Err(InvalidBudget("there must be no more than 1000 tokens"));
        }
        // So that 0.029 is 29 thousandths, though its nearest double is a little less.
        let ratio = (token_ratio * f64::from(THOUSANDTHS) + 1e-6).floor();
        if !(1.0..=1e6).contains(&ratio) {
            return Err(InvalidBudget("the token ratio must be from 0.001 to 1000"));
        }
        let max = max_tokens.get() * THOUSANDTHS;
        Ok(Self {
            tokens: Word::shared(max),
            max,
            ratio: ratio as u32,
        })
    }

    /// How many tokens there are now.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        f64::from(self.tokens.get()) / f64::from(THOUSANDTHS)
    }
}

impl Budget for GrpcThrottle {
    #[inline]
    fn succeeded(&self, _: Option<Withdrawal>) {
        self.tokens.add(self.ratio, self.max);
    }

    fn failed(&self) {
        self.tokens.take_up_to(THOUSANDTHS);
    }

    fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
        (self.tokens.get() > self.max / 2).then_some(Withdrawal::new(0, 0))
    }
}
