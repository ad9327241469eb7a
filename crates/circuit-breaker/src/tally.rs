use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Failure, Reason, Rule,
    window::{Counts, Outcomes},
};

/// A rule and what it has counted.
#[derive(Debug)]
pub(crate) struct Tally {
    rule: Rule,
    counter: Counter,
}

#[derive(Debug)]
enum Counter {
    /// The failures since the last success.
    Row(u64),
    Window(Outcomes),
}

/// A call that ended, and counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) failure: Option<Failure>,
    /// Zero where no rule asks for it.
    pub(crate) took: Duration,
}

impl Tally {
    pub(crate) fn new(rule: Rule, now: Instant) -> Self {
        let counter = match rule.rate() {
            None => Counter::Row(0),
            Some((window, _)) => Counter::Window(Outcomes::new(&window, now)),
        };
        Self { rule, counter }
    }

    pub(crate) fn record(&mut self, outcome: &Outcome, now: Instant) {
        match &mut self.counter {
            Counter::Row(failures) => match outcome.failure {
                None => *failures = 0,
                Some(failure) if failure.is_refusal => {}
                Some(_) => *failures += 1,
            },
            Counter::Window(outcomes) => {
                let bad = match self.rule.slow_from() {
                    Some(slow_from) => outcome.took >= slow_from,
                    None => outcome.failure.is_some(),
                };
                outcomes.push(bad, now);
            }
        }
    }

    /// The reason to open the circuit, if there is one.
    pub(crate) fn reason(&mut self, now: Instant) -> Option<Reason> {
        let Counts { calls, bad } = self.counts(now);
        let opens = match (self.rule, self.rule.rate()) {
            (Rule::ConsecutiveFailures(rule), _) => bad >= rule.limit().into(),
            // The quotient of two whole numbers is the float that is nearest to it, as is the rate
            // where it was written: so 3 of 30 are 0.1 and not a little less.
            (_, Some((window, rate))) => {
                calls >= window.min_calls().into() && bad as f64 / calls as f64 >= rate
            }
            (_, None) => false,
        };
        opens.then_some(Reason::Rule {
            rule: self.rule,
            bad,
            calls,
        })
    }

    pub(crate) fn counts(&mut self, now: Instant) -> Counts {
        match &mut self.counter {
            Counter::Row(failures) => Counts {
                calls: *failures,
                bad: *failures,
            },
            Counter::Window(outcomes) => outcomes.counts(now),
        }
    }

    pub(crate) const fn rule(&self) -> Rule {
        self.rule
    }

    pub(crate) fn clear(&mut self) {
        match &mut self.counter {
            Counter::Row(failures) => *failures = 0,
            Counter::Window(outcomes) => outcomes.clear(),
        }
    }
}
