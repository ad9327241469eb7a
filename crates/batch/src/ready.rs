//! Which of the slots were woken.

use std::task::Waker;

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// A bit for each slot, and who is to be told that one was set.
///
/// The owner is awake or asleep. While it is awake a set bit is all that a wake costs; the first
/// wake that finds it asleep wakes it.
#[derive(Debug)]
pub(crate) struct Ready {
    words: Box<[AtomicU64]>,
    awake: AtomicBool,
    owner: Mutex<Option<Waker>>,
}

impl Ready {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            words: (0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            awake: AtomicBool::new(true),
            owner: Mutex::new(None),
        }
    }

    pub(crate) const fn words(&self) -> usize {
        self.words.len()
    }

    /// Wakes a slot.
    pub(crate) fn set(&self, slot: usize) {
        // The owner says that it sleeps and then changes each word, to what it was. Either it finds our
        // bit there, or we find its change, and with that what it said before.
        self.words[slot / 64].fetch_or(1 << (slot % 64), Ordering::AcqRel);
        if !self.awake.swap(true, Ordering::AcqRel) {
            let owner = self.owner.lock().take();
            if let Some(owner) = owner {
                owner.wake();
            }
        }
    }

    /// Takes the bits of a word.
    pub(crate) fn take(&self, word: usize) -> u64 {
        let word = &self.words[word];
        match word.load(Ordering::Relaxed) {
            // A bit that comes now is seen before the owner sleeps.
            0 => 0,
            _ => word.swap(0, Ordering::AcqRel),
        }
    }

    /// The owner is awake: wakes need not wake it.
    pub(crate) fn awake(&self) {
        // A swap, as below: it sees the bits of those who have found it awake.
        self.awake.swap(true, Ordering::AcqRel);
    }

    /// The owner goes to sleep, unless a bit is set.
    pub(crate) fn sleep(&self, owner: &Waker) -> bool {
        let known = {
            let last = self.owner.lock();
            last.as_ref().is_some_and(|it| it.will_wake(owner))
        };
        if !known {
            let owner = Some(owner.clone());
            let last = std::mem::replace(&mut *self.owner.lock(), owner);
            drop(last);
        }
        self.awake.swap(false, Ordering::AcqRel);
        let mut words = self.words.iter();
        let asleep = words.all(|word| word.fetch_or(0, Ordering::AcqRel) == 0);
        if !asleep {
            self.awake();
        }
        asleep
    }
}
