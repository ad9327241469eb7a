//! The same as in the crate, but of loom.

use std::{
    cell::Cell,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

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

/// As tokio's, of which only this is used: whoever asked to be notified before all are is, though it was
/// not polled yet.
#[derive(Debug)]
pub(crate) struct Notify(Mutex<Waiters>);

#[derive(Debug, Default)]
struct Waiters {
    /// How often all were notified.
    rounds: usize,
    wakers: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    since: usize,
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

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Waiters::default()))
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            since: self.0.lock().unwrap().rounds,
        }
    }

    pub(crate) fn notify_waiters(&self) {
        let wakers = {
            let mut waiters = self.0.lock().unwrap();
            waiters.rounds += 1;
            mem::take(&mut waiters.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiters = self.notify.0.lock().unwrap();
        if waiters.rounds != self.since {
            return Poll::Ready(());
        }
        waiters.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
