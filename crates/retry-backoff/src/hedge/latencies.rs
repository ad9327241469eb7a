use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// How long requests took in the last quarter to half minute.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// In thousandths.
    quantile: u32,
    current: Histogram,
    before: Histogram,
    /// When the current one was begun.
    since: Instant,
    /// What was found last, and for how many more latencies it will do.
    found: Option<Duration>,
    good_for: u32,
}

/// Eight buckets for each power of two nanoseconds.
#[derive(Debug)]
struct Histogram {
    buckets: Box<[u32; BUCKETS]>,
    count: u32,
}

const PARTS_BITS: u32 = 3;
const PARTS: u64 = 1 << PARTS_BITS;
const BUCKETS: usize = (64 << PARTS_BITS) as usize;

/// Then the current histogram becomes the one before, and that is forgotten.
const HALF: Duration = Duration::from_secs(15);

/// With fewer, a high quantile is that of a few slow ones.
const ENOUGH: u32 = 32;

impl Latencies {
    pub(crate) fn new(quantile: u32, now: Instant) -> Self {
        Self {
            quantile,
            current: Histogram::new(),
            before: Histogram::new(),
            since: now,
            found: None,
            good_for: 0,
        }
    }

    pub(crate) fn record(&mut self, now: Instant, latency: Duration) {
        self.turn(now);
        self.current.add(latency);
        self.good_for = self.good_for.saturating_sub(1);
    }

    /// No less than the quantile, and at most an eighth more; none while too few are known.
    pub(crate) fn quantile(&mut self, now: Instant) -> Option<Duration> {
        self.turn(now);
        if self.good_for == 0 {
            self.found = self.find();
            // To look again for each would cost more than it told.
            self.good_for = self.count() / 64 + 1;
        }
        self.found
    }

    fn find(&self) -> Option<Duration> {
        let count = self.count();
        if count < ENOUGH {
            return None;
        }
        let rank = (u64::from(count) * u64::from(self.quantile)).div_ceil(1_000);
        let mut below = 0;
        let buckets = self.current.buckets.iter().zip(self.before.buckets.iter());
        for (index, (current, before)) in buckets.enumerate() {
            below += u64::from(*current) + u64::from(*before);
            if below >= rank {
                return Some(Duration::from_nanos(highest(index)));
            }
        }
        unreachable!("the rank is no more than there are")
    }

    const fn count(&self) -> u32 {
        self.current.count.saturating_add(self.before.count)
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < HALF {
            return;
        }
        mem::swap(&mut self.current, &mut self.before);
        self.current.clear();
        if age < HALF * 2 {
            self.since += HALF;
        } else {
            self.before.clear();
            self.since = now;
        }
        self.good_for = 0;
    }
}

impl Histogram {
    fn new() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
        }
    }

    fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        // Half a minute holds no more, at any rate that can be reached.
        if self.count < u32::MAX / 2 {
            self.buckets[bucket(nanos)] += 1;
            self.count += 1;
        }
    }
}

/// The highest bit that is set, and the three below it.
const fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let exponent = 63 - nanos.leading_zeros();
    let part = (nanos >> (exponent - PARTS_BITS)) & (PARTS - 1);
    (((exponent - PARTS_BITS + 1) << PARTS_BITS) as u64 + part) as usize
}

/// The most that falls into this bucket.
const fn highest(index: usize) -> u64 {
    let index = index as u64;
    if index < PARTS {
        return index;
    }
    let shift = (index >> PARTS_BITS) - 1;
    let lowest = (PARTS + (index & (PARTS - 1))) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests;
