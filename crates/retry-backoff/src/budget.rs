use std::fmt;

use self::word::Word;
use crate::shared::Shared;
use crate::spares::Spares;

pub use self::ratio::RetryRatio;
pub use self::throttle::GrpcThrottle;
pub use self::token_bucket::TokenBucket;

mod ratio;
mod throttle;
mod token_bucket;
mod word;

/// May one more attempt be made, in view of all requests that share this?
///
/// A limit of attempts holds for one request; in an outage every request uses it up, and the load
/// on whoever is failing is multiplied. A budget holds for all of them together. Its clones share
/// it, and are made for each request: let them be cheap.
///
/// [`TokenBucket`] is the one to begin with; [`RetryRatio`], [`GrpcThrottle`] and [`Unlimited`] are
/// there as well. To bring another, implement what concerns it: the methods left out do nothing.
pub trait Budget {
    /// A request is made, and its first attempt about to be sent.
    fn requested(&self) {}

    /// An attempt succeeded. `paid` is what had been withdrawn for it, if it was a retry. A hedge is
    /// none: whichever attempt wins, the server has had the work of all, and it is `None`.
    fn succeeded(&self, paid: Option<Withdrawal>) {
        let _ = paid;
    }

    /// An attempt failed in a way that another might mend, or the server asked for no other; there
    /// may be one nevertheless, or not.
    fn failed(&self) {}

    /// Takes what a retry costs after an attempt that failed for this cause; `None` if that cannot
    /// be afforded.
    fn withdraw(&self, cause: Cause) -> Option<Withdrawal>;

    /// The retry that was paid for has not been sent, and will not be.
    fn give_back(&self, unspent: Withdrawal) {
        let _ = unspent;
    }
}

/// Why an attempt failed that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// For a reason that may be gone the next time.
    Transient,
    /// There was no answer in time: it has cost the server more than an answer.
    Timeout,
    /// The server said that it is asked too much.
    Throttled,
}

/// What was taken from a [`Budget`] for one retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "give back what is not spent"]
pub struct Withdrawal {
    amount: u32,
    mark: u64,
}

/// No budget: whatever the limits of a request allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unlimited;

/// Spends from a budget and tells it nothing: neither of requests nor of successes and failures.
///
/// For one of two layers in a stack that share a budget, a hedge below a retry for instance. That is
/// the inner one, since the outer one tells the budget of each request; but with a [`GrpcThrottle`],
/// which is to hear of each attempt, as only the inner one does, it is the outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpendOnly<G>(pub G);

/// These numbers make no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBudget(&'static str);

/// What is withdrawn for a request, given back unless it is spent before this is dropped.
#[derive(Debug)]
pub(crate) struct Account<G: Budget> {
    budget: G,
    paid: Option<Withdrawal>,
    is_spent: bool,
}

impl Withdrawal {
    /// Of `amount`, in whatever the budget counts. `mark` is for the budget alone: when it was, for
    /// instance.
    pub const fn new(amount: u32, mark: u64) -> Self {
        Self { amount, mark }
    }

    /// How much it is.
    #[must_use]
    pub const fn amount(&self) -> u32 {
        self.amount
    }

    /// What the budget has written on it.
    #[must_use]
    pub const fn mark(&self) -> u64 {
        self.mark
    }
}

impl<G: Budget> Account<G> {
    pub(crate) const fn new(budget: G) -> Self {
        Self {
            budget,
            paid: None,
            is_spent: true,
        }
    }

    pub(crate) const fn budget(&self) -> &G {
        &self.budget
    }

    /// What was withdrawn last, if anything, and not given back.
    pub(crate) const fn paid(&self) -> Option<Withdrawal> {
        self.paid
    }

    pub(crate) fn withdraw(&mut self, cause: Cause) -> bool {
        self.give_back();
        let paid = self.budget.withdraw(cause);
        if paid.is_some() {
            self.paid = paid;
            self.is_spent = false;
        }
        paid.is_some()
    }

    pub(crate) const fn spend(&mut self) {
        self.is_spent = true;
    }

    /// What was paid for came to nothing, and is to be had once more for the same price.
    pub(crate) const fn unspend(&mut self) {
        self.is_spent = false;
    }

    pub(crate) fn give_back(&mut self) {
        if !self.is_spent {
            self.is_spent = true;
            if let Some(unspent) = self.paid.take() {
                self.budget.give_back(unspent);
            }
        }
    }
}

impl<G: Budget> Drop for Account<G> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Word {
    fn shared(tokens: u32) -> Shared<Self> {
        static WORDS: Spares<Word> = Spares::new();
        WORDS.take(|| Self::new(tokens), |word| word.set(tokens))
    }
}

impl Budget for Unlimited {
    fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
        Some(Withdrawal::new(0, 0))
    }
}

impl<G: Budget> Budget for SpendOnly<G> {
    fn withdraw(&self, cause: Cause) -> Option<Withdrawal> {
        self.0.withdraw(cause)
    }

    fn give_back(&self, unspent: Withdrawal) {
        self.0.give_back(unspent);
    }
}

/// For a budget of your own that is not cheap to clone.
impl<G: Budget + ?Sized> Budget for std::sync::Arc<G> {
    fn requested(&self) {
        (**self).requested();
    }

    fn succeeded(&self, paid: Option<Withdrawal>) {
        (**self).succeeded(paid);
    }

    fn failed(&self) {
        (**self).failed();
    }

    fn withdraw(&self, cause: Cause) -> Option<Withdrawal> {
        (**self).withdraw(cause)
    }

    fn give_back(&self, unspent: Withdrawal) {
        (**self).give_back(unspent);
    }
}

impl fmt::Display for InvalidBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidBudget {}
