//! The same as in the crate, but of shuttle.

pub(crate) use std::sync::Arc;

pub(crate) use shuttle::sync::{
    MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use shuttle::sync::atomic::AtomicBool;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no model panics under a lock")
    }
}

/// Std's, with a point at which shuttle may switch threads before each access: there is nothing in it
/// that blocks.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    switch: AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            switch: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.switch.load(Ordering::SeqCst);
        self.value.get()
    }

    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        self.switch.store(true, Ordering::SeqCst);
        self.value.get_or_init(value)
    }
}
