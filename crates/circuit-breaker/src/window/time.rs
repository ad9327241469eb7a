use std::{mem, time::Duration};

use tokio::time::Instant;

use super::Counts;

/// As many as Polly, failsafe-go and linkerd have: fine enough that little expires at once.
const STEPS: usize = 10;

/// The outcomes of the last stretch of time: a bucket for each step of a tenth, and the totals kept
/// by taking away the buckets that expire. No call costs more than the ten buckets, however many
/// calls there are.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    step: Duration,
    buckets: [Counts; STEPS],
    current: usize,
    /// When the current step began: always whole steps from the first, so that boundaries do not
    /// drift with the calls.
    began: Instant,
    total: Counts,
}

impl TimeWindow {
    pub(crate) fn new(length: Duration, now: Instant) -> Self {
        Self {
            step: length / STEPS as u32,
            buckets: Default::default(),
            current: 0,
            began: now,
            total: Counts::default(),
        }
    }

    pub(crate) fn push(&mut self, bad: bool, now: Instant) {
        self.advance(now);
        for counts in [&mut self.buckets[self.current], &mut self.total] {
            counts.calls += 1;
            counts.bad += u64::from(bad);
        }
    }

    pub(crate) fn counts(&mut self, now: Instant) -> Counts {
        self.advance(now);
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.buckets = Default::default();
        self.total = Counts::default();
    }

    /// Two calls may come with their clocks the wrong way round: the earlier one counts as of now.
    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began);
        let steps = (elapsed.as_nanos() / self.step.as_nanos()) as usize;
        if steps >= STEPS {
            self.clear();
        } else {
            for _ in 0..steps {
                self.current = (self.current + 1) % STEPS;
                let expired = mem::take(&mut self.buckets[self.current]);
                self.total.calls -= expired.calls;
                self.total.bad -= expired.bad;
            }
        }
        let remainder = (elapsed.as_nanos() % self.step.as_nanos()) as u64;
        if steps > 0 {
            self.began = now - Duration::from_nanos(remainder);
        }
    }
}

#[cfg(test)]
mod tests;
