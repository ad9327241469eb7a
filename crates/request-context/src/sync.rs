//! What the model check replaces by its own.

pub(crate) use std::sync::{Mutex, MutexGuard};

use std::sync::atomic::{AtomicUsize, Ordering};

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
