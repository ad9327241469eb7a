use std::{
    fmt,
    hash::Hash,
    mem,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use crate::{
    LoadFailed,
    flight::Found,
    loader::Load,
    slots::{Ended, Slots},
};

/// After so many loads in a row that were woken the task yields.
const YIELD_AFTER: usize = 128;

/// Several values that are loaded, in the order of their keys.
pub struct LoadMany<K: Hash + Eq + Clone, V> {
    /// Those that were not polled yet.
    loads: vec::IntoIter<Load<K, V>>,
    /// The others. Only those that were woken are polled: there may be many, and a batch answers few.
    slots: Slots<Load<K, V>>,
    /// The number of the load in each slot.
    numbers: Vec<usize>,
    found: Vec<Option<Found<V>>>,
    left: usize,
}

impl<K: Hash + Eq + Clone, V> LoadMany<K, V> {
    pub(crate) fn new(loads: Vec<Load<K, V>>) -> Self {
        Self {
            slots: Slots::new(loads.len()),
            numbers: Vec::new(),
            found: loads.iter().map(|_| None).collect(),
            left: loads.len(),
            loads: loads.into_iter(),
        }
    }

    fn found(&mut self, number: usize, ended: Ended<Found<V>>) {
        let found = ended.unwrap_or_else(|panic| resume_unwind(panic));
        self.found[number] = Some(found);
        self.left -= 1;
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Future for LoadMany<K, V> {
    type Output = Vec<Result<Option<V>, LoadFailed>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.slots.awake();
        while let Some(load) = this.loads.next() {
            let number = this.found.len() - this.loads.len() - 1;
            match this.slots.start(|| load) {
                (_, Poll::Ready(ended)) => this.found(number, ended),
                (slot, Poll::Pending) => {
                    if slot >= this.numbers.len() {
                        this.numbers.resize(slot + 1, 0);
                    }
                    this.numbers[slot] = number;
                }
            }
        }
        for _ in 0..YIELD_AFTER {
            if this.left == 0 {
                let found = mem::take(&mut this.found).into_iter();
                return Poll::Ready(found.flatten().collect());
            }
            match this.slots.poll_next() {
                Some((slot, Poll::Ready(ended))) => this.found(this.numbers[slot], ended),
                None if this.slots.sleep(cx.waker()) => return Poll::Pending,
                Some((_, Poll::Pending)) | None => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nothing in it is pinned.
impl<K: Hash + Eq + Clone, V> Unpin for LoadMany<K, V> {}

impl<K: Hash + Eq + Clone, V> fmt::Debug for LoadMany<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadMany")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
