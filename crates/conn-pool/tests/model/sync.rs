//! What the crate's files lean on, from the model checker.

pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Condvar, MutexGuard};

pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

#[derive(Default)]
pub(crate) struct Bell {
    called: shuttle::sync::Mutex<bool>,
    ring: Condvar,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

impl Bell {
    pub(crate) fn call_housekeeper(&self) {
        *self.called.lock().unwrap() = true;
        self.ring.notify_one();
    }

    /// Nobody watches in the model.
    pub(crate) fn tell_watchers(&self) {}

    pub(crate) fn wait(&self) {
        let mut called = self.called.lock().unwrap();
        while !*called {
            called = self.ring.wait(called).unwrap();
        }
        *called = false;
    }
}
