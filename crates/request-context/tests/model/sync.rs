//! The same as in the crate, but of shuttle.

use std::{cell::RefCell, marker::PhantomData};

pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// Of shuttle's thread.
pub(crate) fn thread_number() -> usize {
    shuttle::current::get_current_task().map_or(0, usize::from)
}

thread_local! {
    /// What was put into a pool, by its address. (Shuttle's threads are one thread of the system.)
    pub(crate) static PUT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// What shuttle makes lives as long as one execution: nothing is lent again.
pub(crate) struct Pool<T: 'static>(PhantomData<fn(T)>);

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    pub(crate) fn take(&self) -> Option<&'static T> {
        None
    }

    pub(crate) fn put(&self, thing: &'static T) {
        PUT.with_borrow_mut(|it| it.push(std::ptr::from_ref(thing).addr()));
    }
}
