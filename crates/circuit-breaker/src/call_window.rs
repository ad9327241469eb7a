use std::collections::VecDeque;

use crate::{meter::Meter, window::Counts};

/// The last N outcomes, exactly, though good ones are counted elsewhere and in no order.
///
/// A bad call is kept as the number of calls that there were with it. When N more have come it has
/// left the window, whichever they were. Counters that only rise have, read one after the other, a sum
/// that is true of some moment: so this is the window of an order in which the calls can have ended.
#[derive(Debug)]
pub(crate) struct CallWindow {
    meter: &'static Meter,
    capacity: u64,
    /// Which generation the rest is of.
    generation: u64,
    /// The calls that the meter does not count.
    counted_here: u64,
    bad: VecDeque<u64>,
}

impl CallWindow {
    pub(crate) fn new(capacity: u32, meter: &'static Meter) -> Self {
        Self {
            meter,
            capacity: capacity.into(),
            generation: 0,
            counted_here: 0,
            bad: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, bad: bool, generation: u64) {
        self.turn_to(generation);
        self.counted_here += 1;
        if bad {
            let total = self.total();
            self.bad.push_back(total);
            self.expire(total);
        }
    }

    pub(crate) fn counts(&mut self, generation: u64) -> Counts {
        self.turn_to(generation);
        let total = self.total();
        self.expire(total);
        Counts {
            calls: total.min(self.capacity),
            bad: self.bad.len() as u64,
        }
    }

    pub(crate) fn relieve(&mut self, generation: u64) {
        self.turn_to(generation);
        self.counted_here += self.meter.take(self.meter.tag(generation, None));
    }

    fn total(&self) -> u64 {
        let tag = self.meter.tag(self.generation, None);
        self.counted_here + self.meter.sum(tag, tag)
    }

    fn expire(&mut self, total: u64) {
        while let Some(position) = self.bad.front()
            && position + self.capacity <= total
        {
            self.bad.pop_front();
        }
    }

    fn turn_to(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.counted_here = 0;
            self.bad.clear();
        }
    }
}
