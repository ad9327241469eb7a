use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Failure, Reason, Rule,
    clock::Tick,
    meter::Meter,
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

/// What a tally says about the calls that come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// The reason to open the circuit, if there is one.
    pub(crate) reason: Option<Reason>,
    /// There are bad calls, and too few calls to say so.
    pub(crate) is_short: bool,
    /// There is a row of failures.
    pub(crate) is_row: bool,
}

impl Tally {
    /// The tallies of rules, whose windows have `meters` in the same order.
    pub(crate) fn all(rules: &[Rule], meters: &'static [Meter]) -> Box<[Self]> {
        let mut meters = meters.iter();
        let counter = |rule: &Rule| match rule.rate().and_then(|_| meters.next()) {
            None => Counter::Row(0),
            Some(meter) => Counter::Window(Outcomes::new(meter)),
        };
        let counters: Vec<_> = rules.iter().map(counter).collect();
        let tally = |(rule, counter): (&Rule, _)| Self {
            rule: *rule,
            counter,
        };
        rules.iter().zip(counters).map(tally).collect()
    }

    pub(crate) fn record(&mut self, outcome: &Outcome, generation: u64, now: Instant) {
        match &mut self.counter {
            Counter::Row(failures) => match outcome.failure {
                None => *failures = 0,
                Some(failure) if failure.is_refusal => {}
                Some(_) => *failures += 1,
            },
            Counter::Window(outcomes) => {
                let bad = match self.rule {
                    Rule::SlowCallRate(rule) => outcome.took >= rule.slow_from(),
                    _ => outcome.failure.is_some(),
                };
                outcomes.push(bad, generation, now);
            }
        }
    }

    pub(crate) fn findings(&mut self, generation: u64, now: Instant) -> Findings {
        let Counts { calls, bad } = self.counts(generation, now);
        let (opens, is_short) = match (self.rule, self.rule.rate()) {
            (Rule::ConsecutiveFailures(rule), _) => (bad >= rule.limit().into(), false),
            (_, Some((window, _))) if calls < window.min_calls().into() => (false, bad > 0),
            // The quotient of two whole numbers is the float that is nearest to it, as is the rate
            // where it was written: so 3 of 30 are 0.1 and not a little less.
            (_, Some((_, rate))) => (bad as f64 / calls as f64 >= rate, false),
            (_, None) => (false, false),
        };
        Findings {
            reason: opens.then_some(Reason::Rule {
                rule: self.rule,
                bad,
                calls,
            }),
            is_short,
            is_row: matches!(self.counter, Counter::Row(1..)),
        }
    }

    pub(crate) fn counts(&mut self, generation: u64, now: Instant) -> Counts {
        match &mut self.counter {
            Counter::Row(failures) => Counts {
                calls: *failures,
                bad: *failures,
            },
            Counter::Window(outcomes) => outcomes.counts(generation, now),
        }
    }

    /// Takes over what this thread's cells hold.
    pub(crate) fn relieve(&mut self, generation: u64, now: Option<Tick>) {
        if let Counter::Window(outcomes) = &mut self.counter {
            outcomes.relieve(generation, now);
        }
    }

    pub(crate) const fn rule(&self) -> Rule {
        self.rule
    }

    /// Begins a generation. Windows see by themselves that it is a new one.
    pub(crate) fn clear(&mut self) {
        if let Counter::Row(failures) = &mut self.counter {
            *failures = 0;
        }
    }
}

impl Findings {
    /// What several tallies say: the first reason counts.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            reason: self.reason.or(other.reason),
            is_short: self.is_short || other.is_short,
            is_row: self.is_row || other.is_row,
        }
    }
}
