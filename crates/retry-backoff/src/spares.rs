use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::available_parallelism;

use crate::shared::{Core, Shared};

/// All values of one kind that handles share, or once did.
#[derive(Debug)]
pub(crate) struct Spares<T: 'static>(Mutex<VecDeque<&'static Core<T>>>);

/// How many are looked at when another is wanted: four for each that is made, so that about a
/// third more are kept than have been in use at the same time.
const LOOKS: usize = 4;

/// As many as can be at work at the same time, and again as many for those that block.
pub(crate) fn threads() -> usize {
    static THREADS: LazyLock<usize> = LazyLock::new(|| {
        let processors = available_parallelism().map_or(1, usize::from);
        2 * processors.min(64)
    });
    *THREADS
}

impl<T> Spares<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// One that no handle exists to, as new.
    pub(crate) fn take(&self, make: impl FnOnce() -> T, renew: impl FnOnce(&T)) -> Shared<T> {
        // Neither of the two can panic half-way through a change of the list.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..LOOKS.min(all.len()) {
            all.rotate_left(1);
            let last = all[all.len() - 1];
            if last.is_unused() {
                let shared = Shared::first(last);
                renew(&shared);
                return shared;
            }
        }
        let core: &'static _ = Box::leak(Box::new(Core::new(make(), threads())));
        all.push_back(core);
        Shared::first(core)
    }
}

#[cfg(test)]
mod tests;
