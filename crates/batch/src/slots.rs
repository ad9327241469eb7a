//! Futures that run side by side in one task.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker, ready},
};

use crate::ready::Ready;

/// What has become of a future: its output, or what it panicked with.
pub(crate) type Ended<T> = Result<T, Box<dyn Any + Send>>;

/// Places for so many futures. A place is made once and used again, with its memory and its waker;
/// only futures that were woken are polled.
pub(crate) struct Slots<F> {
    limit: usize,
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
    /// Those of the bits of `word` that are still to be polled.
    bits: u64,
    word: usize,
    asleep: bool,
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

struct WakeSlot {
    ready: Arc<Ready>,
    slot: usize,
}

impl<F> Slots<F> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            slots: Vec::new(),
            free: Vec::new(),
            ready: Arc::new(Ready::new(limit)),
            bits: 0,
            word: 0,
            asleep: false,
        }
    }

    pub(crate) const fn running(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.running() == self.limit
    }

    /// To be called when the owner is polled.
    pub(crate) fn awake(&mut self) {
        if self.asleep {
            self.asleep = false;
            self.ready.awake();
        }
    }

    /// To be called before the owner is pending; if it says no, there is more to poll.
    pub(crate) fn sleep(&mut self, owner: &Waker) -> bool {
        self.asleep = self.bits == 0 && self.ready.sleep(owner);
        self.asleep
    }
}

impl<F> Slots<F> {
    /// Drops a future that has not ended.
    pub(crate) fn cancel(&mut self, slot: usize) {
        let future = &mut self.slots[slot].future;
        if future.is_some() {
            // Nobody is left to tell of a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| future.set(None)));
            self.free.push(slot);
        }
    }
}

impl<F: Future> Slots<F> {
    /// Makes a future in a free slot, and polls it at once. A panic as it is made is one of its own.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn start(&mut self, make: impl FnOnce() -> F) -> (usize, Poll<Ended<F::Output>>) {
        // Most often it is ready at once, and the slot stays free.
        let slot = match self.free.last() {
            Some(&slot) => slot,
            None => self.grow(),
        };
        let polled = self.poll(slot, |future| future.set(Some(make())));
        if polled.is_pending() {
            self.free.pop();
        }
        (slot, polled)
    }

    /// Polls the next one that was woken, if there is one. `None` says that all have been polled.
    #[inline]
    pub(crate) fn poll_next(&mut self) -> Option<(usize, Poll<Ended<F::Output>>)> {
        if self.bits == 0 {
            // From the next word on and round to this one: none of them waits for ever.
            let words = self.ready.words();
            for _ in 0..words {
                self.word = (self.word + 1) % words;
                self.bits = self.ready.take(self.word);
                if self.bits != 0 {
                    break;
                }
            }
        }
        if self.bits == 0 {
            return None;
        }
        let bit = self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        let slot = self.word * 64 + bit as usize;
        // It may be woken late, and have ended.
        if self.slots[slot].future.is_none() {
            return Some((slot, Poll::Pending));
        }
        let polled = self.poll(slot, |_| {});
        if polled.is_ready() {
            self.free.push(slot);
        }
        Some((slot, polled))
    }

    #[cold]
    fn grow(&mut self) -> usize {
        let slot = self.slots.len();
        assert!(slot < self.limit, "there is a free slot");
        let ready = Arc::clone(&self.ready);
        self.slots.push(Slot {
            future: Box::pin(None),
            waker: Waker::from(Arc::new(WakeSlot { ready, slot })),
        });
        self.free.push(slot);
        slot
    }

    /// Prepares and polls a future; to put its slot among the free ones is left to the caller.
    #[inline]
    fn poll(
        &mut self,
        slot: usize,
        prepare: impl FnOnce(&mut Pin<Box<Option<F>>>),
    ) -> Poll<Ended<F::Output>> {
        let Slot { future, waker } = &mut self.slots[slot];
        let mut cx = Context::from_waker(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            prepare(future);
            let Some(running) = future.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            let output = ready!(running.poll(&mut cx));
            future.set(None);
            Poll::Ready(output)
        }));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => {
                // It may panic once more as it is dropped; one is enough.
                let _ = catch_unwind(AssertUnwindSafe(|| future.set(None)));
                Err(panic)
            }
        };
        Poll::Ready(ended)
    }
}

impl Wake for WakeSlot {
    fn wake(self: Arc<Self>) {
        self.ready.set(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.set(self.slot);
    }
}
