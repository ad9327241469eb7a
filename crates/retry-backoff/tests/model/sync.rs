//! The same as in the crate, but of loom.

use std::{cell::Cell, ops::Deref};

pub(crate) use std::sync::PoisonError;

pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

loom::thread_local! {
    static NUMBER: Cell<usize> = Cell::new(usize::MAX);
}

/// Gives this thread a value of its own in everything that is striped.
pub(crate) fn set_number(number: usize) {
    NUMBER.with(|it| it.set(number));
}

/// As `mainstay_striped::Striped`, but that its threads are numbered by hand: all of loom's are one
/// thread of the system.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    own: Vec<T>,
    shared: T,
}

pub(crate) struct Stripe<'a, T> {
    value: &'a T,
    is_own: bool,
}

impl<T: Default> Striped<T> {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            own: (0..threads).map(|_| T::default()).collect(),
            shared: T::default(),
        }
    }
}

impl<T> Striped<T> {
    pub(crate) fn mine(&self) -> Stripe<'_, T> {
        let own = self.own.get(NUMBER.with(Cell::get));
        Stripe {
            value: own.unwrap_or(&self.shared),
            is_own: own.is_some(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.own.iter().chain([&self.shared])
    }
}

impl<T> Stripe<'_, T> {
    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
    }
}

impl<T> Deref for Stripe<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}
