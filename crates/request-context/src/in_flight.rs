use std::{
    fmt, mem,
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    RequestContext,
    sync::{Mutex, MutexGuard, Pool, thread_number},
};

/// The requests that are in flight: each from when a layer is called with it until its response is
/// there, or its future is dropped or panics.
///
/// Clones are handles to the same. Several layers can share one. The memory that it needs is not freed
/// when the last has gone, but used for the next.
#[derive(Clone)]
pub struct InFlight {
    shards: Arc<Shards>,
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
    shard: &'static Shard,
    index: usize,
}

/// Ends the stay of a request that is being polled, also when that panics, unless it is told to stay.
///
/// The entry is not moved meanwhile: it was written piece by piece just before.
#[must_use]
pub(crate) struct Leaving<'a>(pub(crate) &'a mut Option<Entry>);

/// They are never freed, but lent again: so neither a handle nor an entry counts references to them,
/// which all requests of a thread would write.
struct Shards(Box<[&'static Shard]>);

/// Those that nobody uses: as many as were in use at once are there at most.
static UNUSED: Pool<Shard> = Pool::new();

/// Aligned, so that two threads that write to shards of their own do not write to one cache line.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Option<usize>,
    taken: usize,
    /// All handles have gone: the last entry gives the shard back.
    is_left: bool,
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
        let threads = threads.min(64).next_power_of_two();
        let shard = |_| UNUSED.take().unwrap_or_else(|| Box::leak(Box::default()));
        Self {
            shards: Arc::new(Shards((0..threads).map(shard).collect())),
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
        let shards = &*self.shards.0;
        let shard = shards[thread_number() & (shards.len() - 1)];
        Entry {
            shard,
            index: shard.lock().take(context.clone()),
        }
    }

    /// All of them, always in one order, while all else locks one at a time.
    fn lock(&self) -> Vec<MutexGuard<'_, Slots>> {
        self.shards.0.iter().map(|it| it.lock()).collect()
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
        let mut slots = self.shard.lock();
        // It is dropped after the lock: it may be the last one, and what a user has put into it may
        // ask who is in flight.
        let _context = slots.give_back(self.index);
        let is_unused = slots.is_left && slots.taken == 0;
        drop(slots);
        if is_unused {
            self.shard.recycle();
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        for shard in &self.0 {
            let mut slots = shard.lock();
            slots.is_left = slots.taken > 0;
            let is_unused = !slots.is_left;
            drop(slots);
            if is_unused {
                shard.recycle();
            }
        }
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

    #[cold]
    fn recycle(&'static self) {
        self.lock().is_left = false;
        UNUSED.put(self);
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
