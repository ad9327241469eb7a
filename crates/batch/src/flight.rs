//! One load that many wait for.

use std::{
    error::Error,
    fmt, mem,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake, Waker, ready},
};

use parking_lot::Mutex;
use tower_service::Service;

use crate::{Batch, BoxError, response::ResponseFuture};

/// What a load has found: nothing is not an error.
pub(crate) type Found<V> = Result<Option<V>, LoadFailed>;

/// The load of a key failed, or its whole batch did. All who waited for it have the same.
#[derive(Clone, Debug)]
pub struct LoadFailed {
    cause: Arc<BoxError>,
}

/// The load of one key, polled by whoever of its waiters is polled. When all of them are gone, it
/// goes, and its key is taken out of the batch if that was not sent yet.
pub(crate) struct Flight<K, V> {
    /// `None` while one of the waiters polls it, and at the end.
    call: Mutex<Option<Call<K, V>>>,
    found: OnceLock<Found<V>>,
    pub(crate) waiters: Arc<Waiters>,
}

enum Call<K, V> {
    /// Waits for a place in the batcher.
    Waiting(Batch<K, Option<V>>, K),
    Called(ResponseFuture<K, Option<V>, ()>),
}

/// Those who wait for a flight, each with a number.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<Wakers>);

#[derive(Default)]
struct Wakers {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl<K: Clone, V> Flight<K, V> {
    pub(crate) fn new(batch: Batch<K, Option<V>>, key: K) -> Self {
        Self {
            call: Mutex::new(Some(Call::Waiting(batch, key))),
            found: OnceLock::new(),
            waiters: Arc::default(),
        }
    }

    /// What was found, if it has been.
    pub(crate) fn found(&self) -> Option<&Found<V>> {
        self.found.get()
    }

    /// Polls the flight for one of its waiters, and says whether that has ended it.
    pub(crate) fn poll(&self, waiter: usize, cx: &Context<'_>) -> bool {
        // First: a wake that comes while the call is polled wakes all who wait by then.
        self.waiters.watch(waiter, cx.waker().clone());
        let taken = self.call.lock().take();
        let Some(mut call) = taken else {
            return false;
        };
        let waker = Waker::from(Arc::clone(&self.waiters));
        match call.poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                *self.call.lock() = Some(call);
                false
            }
            Poll::Ready(found) => {
                let _ = self.found.set(found.map_err(LoadFailed::new));
                true
            }
        }
    }
}

impl<K: Clone, V> Call<K, V> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<V>, BoxError>> {
        loop {
            match self {
                Self::Waiting(batch, key) => {
                    ready!(batch.poll_ready(cx))?;
                    *self = Self::Called(batch.call(key.clone()));
                }
                Self::Called(response) => return std::pin::Pin::new(response).poll(cx),
            }
        }
    }
}

impl Waiters {
    pub(crate) fn join(&self) -> usize {
        let mut it = self.0.lock();
        match it.free.pop() {
            Some(waiter) => waiter,
            None => {
                it.wakers.push(None);
                it.wakers.len() - 1
            }
        }
    }

    pub(crate) fn leave(&self, waiter: usize) {
        let mut it = self.0.lock();
        let waker = it.wakers[waiter].take();
        it.free.push(waiter);
        drop(it);
        drop(waker);
    }

    fn watch(&self, waiter: usize, waker: Waker) {
        let last = self.0.lock().wakers[waiter].replace(waker);
        drop(last);
    }

    pub(crate) fn wake_all(&self) {
        let wakers: Vec<_> = {
            let mut it = self.0.lock();
            it.wakers.iter_mut().filter_map(mem::take).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl LoadFailed {
    fn new(cause: BoxError) -> Self {
        Self {
            cause: Arc::new(cause),
        }
    }

    /// What failed: the error of the key, or [`BatchFailed`](crate::BatchFailed).
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &**self.cause
    }
}

impl fmt::Display for LoadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("load failed")
    }
}

impl Error for LoadFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.cause)
    }
}
