//! The same as in the crate, but of shuttle.

pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// Shuttle's threads are one thread of the system.
pub(crate) fn thread_number() -> usize {
    shuttle::current::get_current_task().map_or(0, usize::from)
}
