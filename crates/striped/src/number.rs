use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The number of a thread, the smallest that no other living thread has.
///
/// One that ends hands its number on under the lock, so all that it wrote has happened before its
/// successor writes in the same place.
struct Number(usize);

static GIVEN: AtomicUsize = AtomicUsize::new(0);
static RETURNED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// No number, since none was asked for yet.
const UNKNOWN: usize = usize::MAX;

/// No number any more, since the thread ends and has returned it.
const NONE: usize = usize::MAX - 1;

thread_local! {
    /// A copy that is read without a question whether it is there.
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static KEPT: Number = Number::take();
}

/// This thread's number; one that is greater than all others while it ends.
#[inline]
pub(crate) fn mine() -> usize {
    match MINE.get() {
        UNKNOWN => take(),
        number => number,
    }
}

/// All numbers are below this.
pub(crate) fn given() -> usize {
    GIVEN.load(Ordering::Acquire)
}

#[cold]
fn take() -> usize {
    let number = KEPT.try_with(|number| number.0).unwrap_or(NONE);
    MINE.set(number);
    number
}

impl Number {
    fn take() -> Self {
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        let number = returned.pop_first();
        Self(number.unwrap_or_else(|| GIVEN.fetch_add(1, Ordering::AcqRel)))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // What the thread still does as it ends is done without a number.
        MINE.set(NONE);
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        returned.insert(self.0);
    }
}

#[cfg(test)]
mod tests;
