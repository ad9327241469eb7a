//! Samples of all rows, taken in turns.

use std::{iter, time::Duration};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::{
    crew::Crew,
    group::{Role, Row, Scenario, Setting},
    results::Times,
    spread::Spread,
    work::Caller,
};

/// How long a run may take.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// The time that each sample is calibrated to.
    pub(crate) sample: Duration,
    /// How many samples of each row.
    pub(crate) rounds: usize,
}

/// For figures. Short samples, and many of them: on a busy machine most of them are not interrupted.
pub(crate) const WHOLE: Effort = Effort {
    sample: Duration::from_micros(200),
    rounds: 501,
};

/// To see that everything runs.
pub(crate) const BRIEF: Effort = Effort { rounds: 5, ..WHOLE };

/// A row's callers, and the number of calls that makes one sample.
struct Subject<'a> {
    scenario: &'a Scenario,
    row: &'a Row,
    setting: Setting,
    callers: Vec<Box<dyn Caller>>,
    calls: u64,
}

/// The times of all rows, in their order.
///
/// A round is one sample of each row, in an order that is shuffled anew: what slows the machine for a while slows all
/// rows alike, and no row always follows the same other one. Ratios and differences are taken within a round.
pub(crate) fn rows(
    scenario: &Scenario,
    setting: Setting,
    effort: Effort,
    crew: &Crew,
) -> Vec<Times> {
    const SEED: u64 = 12;

    let start = |row| Subject::new(scenario, row, setting, effort, crew);
    let mut subjects: Vec<_> = scenario.rows.iter().map(start).collect();
    let mut samples = vec![Vec::with_capacity(effort.rounds); subjects.len()];
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut rng = StdRng::seed_from_u64(SEED);
    for _ in 0..effort.rounds {
        order.shuffle(&mut rng);
        for &row in &order {
            samples[row].push(subjects[row].sample(crew));
        }
    }

    let spreads: Vec<_> = samples
        .iter()
        .map(|it| Spread::of(it.iter().copied()))
        .collect();
    let peers = iter::zip(&scenario.rows, &spreads)
        .enumerate()
        .filter(|(_, (row, _))| row.role == Role::Peer);
    let best = peers.min_by(|(_, (_, a)), (_, (_, b))| a.median.total_cmp(&b.median));
    let best = best.map(|(row, _)| &samples[row]);
    let floor = &samples[0];
    iter::zip(&samples, spreads)
        .map(|(samples, nanoseconds)| Times {
            setting: setting.to_string(),
            nanoseconds,
            above_floor: median(samples, floor, |it, floor| it - floor),
            to_floor: median(samples, floor, |it, floor| it / floor),
            to_best_peer: best.map(|best| median(samples, best, |it, best| it / best)),
        })
        .collect()
}

fn median(samples: &[f64], others: &[f64], compare: impl Fn(f64, f64) -> f64) -> f64 {
    Spread::of(iter::zip(samples, others).map(|(a, b)| compare(*a, *b))).median
}

impl<'a> Subject<'a> {
    fn new(
        scenario: &'a Scenario,
        row: &'a Row,
        setting: Setting,
        effort: Effort,
        crew: &Crew,
    ) -> Self {
        let _entered = crew.enter(setting);
        let mut this = Self {
            scenario,
            row,
            setting,
            callers: row.callers(setting.callers()),
            // Whole cycles, so that a sample of few calls has its share of failures.
            calls: scenario.fails_one_in.max(1),
        };
        let cycle = this.calls;
        loop {
            // The shortest of three: after one that was interrupted, samples of far too few calls would be taken.
            let elapsed = (0..3).map(|_| this.elapsed(crew)).min();
            let elapsed = elapsed.expect("three are not none");
            if elapsed * 2 >= effort.sample {
                let target = effort.sample.as_secs_f64() / elapsed.as_secs_f64();
                let cycles = (this.calls as f64 * target / cycle as f64).ceil();
                this.calls = cycle * (cycles as u64).max(1);
                return this;
            }
            this.calls *= 2;
        }
    }

    /// The nanoseconds of one processor for one call.
    fn sample(&mut self, crew: &Crew) -> f64 {
        let elapsed = self.elapsed(crew).as_secs_f64() * 1e9;
        let calls = self.calls * self.setting.callers() as u64;
        elapsed * self.setting.processors() as f64 / calls as f64
    }

    /// # Panics
    ///
    /// If the calls did not come to what the scenario says: then the row did other work than its fellows.
    fn elapsed(&mut self, crew: &Crew) -> Duration {
        let sample = crew.run(self.setting, &mut self.callers, self.calls);
        let expected = self.scenario.successes(self.calls) * self.setting.callers() as u64;
        assert_eq!(
            sample.succeeded, expected,
            "{}, {}: {} calls by each of {}",
            self.scenario.name, self.row.name, self.calls, self.setting,
        );
        sample.elapsed
    }
}

#[cfg(test)]
mod tests;
