use std::num::NonZeroU32;

use crate::budget::{Budget, Cause, Withdrawal};

/// Which attempts of a request have been made, and what is paid for those that are not under way.
///
/// The price of a hedge that is never sent, or whose sending comes to nothing, is given back: when that
/// is certain, and at the latest when this is dropped.
#[derive(Debug)]
pub(super) struct Attempts<G: Budget> {
    budget: G,
    limit: NonZeroU32,
    /// How many have been made, those included that never left and are to be sent again.
    made: u32,
    unsent: Vec<Attempt>,
    /// About to be sent.
    next: Option<Attempt>,
}

/// One attempt. The first one is free.
#[derive(Debug)]
pub(super) struct Attempt {
    number: u32,
    paid: Option<Withdrawal>,
}

impl Attempt {
    pub(super) const FIRST: Self = Self {
        number: 1,
        paid: None,
    };

    pub(super) const fn number(&self) -> u32 {
        self.number
    }
}

impl<G: Budget> Attempts<G> {
    /// Up to so many, of which the first is under way.
    pub(super) const fn new(budget: G, limit: NonZeroU32) -> Self {
        Self {
            budget,
            limit,
            made: 1,
            unsent: Vec::new(),
            next: None,
        }
    }

    pub(super) const fn budget(&self) -> &G {
        &self.budget
    }

    pub(super) const fn made(&self) -> u32 {
        self.made
    }

    pub(super) const fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Has one be the next, if there is one that never left, or if the budget can afford another.
    pub(super) fn choose(&mut self, cause: Cause) -> bool {
        self.next = self.unsent.pop().or_else(|| {
            let paid = self.budget.withdraw(cause)?;
            Some(Attempt {
                number: self.made + 1,
                paid: Some(paid),
            })
        });
        self.next.is_some()
    }

    /// The number of the next.
    pub(super) fn next(&self) -> Option<u32> {
        self.next.as_ref().map(Attempt::number)
    }

    /// Whether another may follow the next.
    pub(super) fn may_follow(&self) -> bool {
        let made = self.next().map_or(self.made, |next| next.max(self.made));
        made < self.limit.get() || self.has_unsent()
    }

    /// The next is sent.
    pub(super) fn send(&mut self) -> Option<Attempt> {
        let next = self.next.take()?;
        self.made = self.made.max(next.number);
        Some(next)
    }

    /// The next is not sent for now: one that had been made already is so later.
    pub(super) fn put_off(&mut self) {
        if let Some(next) = self.next.take() {
            if next.number <= self.made {
                self.unsent.push(next);
            } else {
                self.refund(next.paid);
            }
        }
    }

    /// This one never left: it goes again for what is paid already, if it can.
    pub(super) fn came_to_nothing(&mut self, attempt: Attempt, can_go_again: bool) {
        if can_go_again {
            self.unsent.push(attempt);
        } else {
            self.refund(attempt.paid);
        }
    }

    /// No other is sent.
    pub(super) fn stop(&mut self) {
        while let Some(attempt) = self.next.take().or_else(|| self.unsent.pop()) {
            self.refund(attempt.paid);
        }
    }

    fn refund(&self, paid: Option<Withdrawal>) {
        if let Some(paid) = paid {
            self.budget.give_back(paid);
        }
    }
}

impl<G: Budget> Drop for Attempts<G> {
    fn drop(&mut self) {
        self.stop();
    }
}
