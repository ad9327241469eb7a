//! Which lanes may have one more batch out.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    mem,
};

/// How many batches each lane has out, and what waits for one of them to come back. A lane that has
/// none out is not here.
pub(crate) struct Turns<K, P> {
    limit: usize,
    lanes: HashMap<K, Lane<P>>,
    /// In all lanes, with such as are gone by now.
    waiting: usize,
}

struct Lane<P> {
    out: usize,
    waiting: VecDeque<P>,
}

impl<K: Hash + Eq + Clone, P> Turns<K, P> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            lanes: HashMap::new(),
            waiting: 0,
        }
    }

    pub(crate) fn may_begin(&self, lane: &K) -> bool {
        self.lanes.get(lane).is_none_or(|it| it.out < self.limit)
    }

    /// A batch of the lane goes out.
    pub(crate) fn begin(&mut self, lane: &K) {
        match self.lanes.get_mut(lane) {
            Some(lane) => lane.out += 1,
            None => {
                let waiting = VecDeque::new();
                self.lanes.insert(lane.clone(), Lane { out: 1, waiting });
            }
        }
    }

    /// What waits until a batch of its lane has come back: there must be one.
    pub(crate) fn wait(&mut self, lane: &K, what: P) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.waiting.push_back(what);
            self.waiting += 1;
        }
    }

    /// A batch of the lane has come back: all that waits may try, in its order. One alone could go before
    /// its turn, and nobody would call the next.
    pub(crate) fn end(&mut self, lane: &K) -> VecDeque<P> {
        let Some(it) = self.lanes.get_mut(lane) else {
            return VecDeque::new();
        };
        it.out -= 1;
        let waiting = mem::take(&mut it.waiting);
        self.waiting -= waiting.len();
        if it.out == 0 {
            self.lanes.remove(lane);
        }
        waiting
    }

    /// Drops what is gone, if more waits here than can be there.
    pub(crate) fn forget_gone(&mut self, most: usize, is_gone: impl Fn(&P) -> bool) {
        if self.waiting > 2 * most + 64 {
            let lanes = self.lanes.values_mut();
            self.waiting = lanes
                .map(|it| {
                    it.waiting.retain(|it| !is_gone(it));
                    it.waiting.len()
                })
                .sum();
        }
    }

    /// Nothing waits any more.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting = 0;
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
        }
    }
}
