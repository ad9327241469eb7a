use std::{
    fmt, mem,
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    RequestContext,
    sync::{Mutex, MutexGuard, thread_number},
};

/// The requests that are in flight: each from when a layer is called with it until its response is
/// there, or its future is dropped or panics.
///
/// Clones are handles to the same. Several layers can share one.
#[derive(Clone)]
pub struct InFlight {
    shards: Arc<[Arc<Shard>]>,
}

/// A request that was in flight when it was [asked](InFlight::snapshot) for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InFlightRequest {
    /// Its id, client, peer, method and path.
    pub context: RequestContext,
    /// How long it had been in flight.
    pub age: Duration,
}

/// The place of one request, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Kept alive by each entry: an `Arc` of its own, so that threads do not share a count.
    shard: Arc<Shard>,
    index: usize,
}

/// Ends the stay of a request that is being polled, also when that panics, unless it is told to stay.
///
/// The entry is not moved meanwhile: it was written piece by piece just before.
#[must_use]
pub(crate) struct Leaving<'a>(pub(crate) &'a mut Option<Entry>);

/// Aligned, so that two threads that write to shards of their own do not write to one cache line.
#[repr(align(128))]
struct Shard(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Option<usize>,
    taken: usize,
}

enum Slot {
    Taken(RequestContext),
    Free { next: Option<usize> },
}

/// What a shard that is empty keeps room for.
const KEPT: usize = 64;

impl InFlight {
    /// With nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::for_threads(thread::available_parallelism().map_or(1, usize::from))
    }

    /// With a shard for each of so many threads, or somewhat more: for a power of two none divides.
    pub(crate) fn for_threads(threads: usize) -> Self {
        let shard = || Arc::new(Shard(Mutex::default()));
        Self {
            shards: (0..threads.min(64).next_power_of_two())
                .map(|_| shard())
                .collect(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().iter().map(|it| it.taken).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All there are at one moment, the oldest first. Requests begin and end only before or after it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<InFlightRequest> {
        let shards = self.lock();
        let now = Instant::now();
        let mut requests = Vec::with_capacity(shards.iter().map(|it| it.taken).sum());
        for slot in shards.iter().flat_map(|it| &it.slots) {
            if let Slot::Taken(context) = slot {
                requests.push(InFlightRequest {
                    age: now.saturating_duration_since(context.started()),
                    context: context.clone(),
                });
            }
        }
        drop(shards);
        requests.sort_by_key(|it| it.context.started());
        requests
    }

    #[inline]
    pub(crate) fn enter(&self, context: &RequestContext) -> Entry {
        let shard = &self.shards[thread_number() & (self.shards.len() - 1)];
        Entry {
            index: shard.lock().take(context.clone()),
            shard: shard.clone(),
        }
    }

    /// All of them, always in one order, while all else locks one at a time.
    fn lock(&self) -> Vec<MutexGuard<'_, Slots>> {
        self.shards.iter().map(|it| it.lock()).collect()
    }

    /// What there is room for without a further allocation.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.lock().iter().map(|it| it.slots.capacity()).sum()
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        // It is dropped after the lock: it may be the last one, and what a user has put into it may
        // ask who is in flight.
        let context = self.shard.lock().give_back(self.index);
        drop(context);
    }
}

impl Leaving<'_> {
    #[inline]
    pub(crate) fn stay(self) {
        mem::forget(self);
    }
}

impl Drop for Leaving<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.0 = None;
    }
}

impl Shard {
    /// Nothing of the user's runs under it, so a panic there left nothing half done.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl Slots {
    #[inline]
    fn take(&mut self, context: RequestContext) -> usize {
        let index = match self.free {
            Some(index) => {
                let before = mem::replace(&mut self.slots[index], Slot::Taken(context));
                match before {
                    Slot::Free { next } => self.free = next,
                    Slot::Taken(_) => unreachable!("a taken slot is not in the list of free ones"),
                }
                index
            }
            None => {
                self.slots.push(Slot::Taken(context));
                self.slots.len() - 1
            }
        };
        self.taken += 1;
        index
    }

    #[inline]
    fn give_back(&mut self, index: usize) -> Slot {
        let slot = mem::replace(&mut self.slots[index], Slot::Free { next: self.free });
        self.free = Some(index);
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEPT {
            // What a crowd has needed is not kept for ever.
            self.slots = Vec::new();
            self.free = None;
        }
        slot
    }
}
