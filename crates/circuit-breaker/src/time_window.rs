use tokio::time::Instant;

use crate::{
    clock::Tick,
    meter::{Meter, STEPS},
    window::Counts,
};

/// The outcomes of the last ten steps of time, those which the meter does not count.
///
/// A bucket says of which step it is: it is taken for a new one when that comes, so nothing has to be
/// done as time passes, and no call costs more than the buckets, however many calls there are.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    meter: &'static Meter,
    buckets: [Bucket; STEPS as usize],
}

#[derive(Debug, Default)]
struct Bucket {
    tag: u64,
    counts: Counts,
}

impl TimeWindow {
    pub(crate) fn new(meter: &'static Meter) -> Self {
        Self {
            meter,
            buckets: Default::default(),
        }
    }

    pub(crate) fn push(&mut self, bad: bool, generation: u64, now: Instant) {
        let tag = self.meter.tag_at(generation, now);
        if let Some(counts) = self.counts_of(tag) {
            counts.calls += 1;
            counts.bad += u64::from(bad);
        }
    }

    pub(crate) fn counts(&self, generation: u64, now: Instant) -> Counts {
        let last = self.meter.tag_at(generation, now);
        let first = last - (STEPS - 1);
        let live = |it: &&Bucket| (first..=last).contains(&it.tag);
        let here = || self.buckets.iter().filter(live).map(|it| it.counts);
        Counts {
            calls: here().map(|it| it.calls).sum::<u64>() + self.meter.sum(first, last),
            bad: here().map(|it| it.bad).sum(),
        }
    }

    pub(crate) fn relieve(&mut self, generation: u64, now: Option<Tick>) {
        let tag = self.meter.tag(generation, now);
        let taken = self.meter.take(tag);
        if let Some(counts) = self.counts_of(tag) {
            counts.calls += taken;
        }
    }

    /// Nothing if the step is so long past that another has its bucket.
    fn counts_of(&mut self, tag: u64) -> Option<&mut Counts> {
        let bucket = &mut self.buckets[(tag % STEPS) as usize];
        if bucket.tag < tag {
            *bucket = Bucket {
                tag,
                counts: Counts::default(),
            };
        }
        (bucket.tag == tag).then_some(&mut bucket.counts)
    }
}
