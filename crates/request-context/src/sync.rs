//! What the model check replaces by its own.

pub(crate) use std::sync::{Mutex, MutexGuard};

use std::sync::{
    PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// A number for each thread, in the order in which they ask first.
#[inline]
pub(crate) fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending has none any more; all of those can share a shard.
    NUMBER.try_with(|it| *it).unwrap_or(0)
}

/// Things that are never freed, while nobody uses them.
pub(crate) struct Pool<T: 'static>(Mutex<Vec<&'static T>>);

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn take(&self) -> Option<&'static T> {
        self.lock().pop()
    }

    pub(crate) fn put(&self, thing: &'static T) {
        self.lock().push(thing);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<&'static T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
