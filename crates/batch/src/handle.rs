use std::{
    error::Error,
    fmt,
    future::poll_fn,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

use crate::{
    Name, event,
    shared::{Numbers, Shared, Watcher},
};

/// The outside view of a batcher: flushes it, shuts it down, and tells its numbers.
///
/// It does not keep the batcher from ending when the last service goes.
#[derive(Clone)]
pub struct Handle {
    control: Arc<dyn Control>,
    places: Arc<Semaphore>,
    name: Option<Name>,
}

/// How a batcher is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How many items wait to be sent.
    pub waiting: usize,
    /// How many items were sent and are not answered.
    pub in_flight: usize,
    /// Whether it takes no more items.
    pub is_closed: bool,
}

/// A shutdown took too long: some items were answered with [`Closed`](crate::Closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    items: usize,
}

/// Waits for answers of others. Dropped before they come, it is not waited with any more.
struct Watch<'a> {
    control: &'a dyn Control,
    watcher: Watcher,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.control.forget(&self.watcher);
    }
}

/// What a handle asks of a batcher, whatever its types.
trait Control: Send + Sync {
    fn flush(&self) -> u64;
    fn poll_answered(&self, below: u64, watcher: &mut Watcher, cx: &Context<'_>) -> Poll<()>;
    fn close(&self) -> bool;
    fn stop(&self);
    fn poll_over(&self, watcher: &mut Watcher, cx: &Context<'_>) -> Poll<()>;
    fn forget(&self, watcher: &Watcher);
    fn numbers(&self) -> Numbers;
}

impl Handle {
    pub(crate) fn new<Req, Resp, K>(
        shared: Arc<Shared<Req, Resp, K>>,
        places: Arc<Semaphore>,
        name: Option<Name>,
    ) -> Self
    where
        Req: Send + 'static,
        Resp: Send + 'static,
        K: Hash + Eq + Clone + Send + 'static,
    {
        Self {
            control: shared,
            places,
            name,
        }
    }

    /// Sends all that waits at once, and ends when everything that was accepted before is answered.
    ///
    /// # Cancel safety
    /// What waits is sent when this is first polled. Nothing is lost if it is dropped then.
    pub async fn flush(&self) {
        event::flushed(self.name.as_deref(), self.control.numbers().waiting);
        let below = self.control.flush();
        let mut watch = self.watch();
        poll_fn(|cx| self.control.poll_answered(below, &mut watch.watcher, cx)).await;
    }

    /// Accepts nothing more, and sends what waits. Those who wait for readiness learn it at once.
    pub fn close(&self) {
        let Numbers {
            waiting, in_flight, ..
        } = self.control.numbers();
        if self.control.close() {
            event::closed(self.name.as_deref(), waiting, in_flight);
        }
        self.places.close();
    }

    /// Closes it, and ends when everything that was accepted is answered and the worker has gone. What
    /// is not answered within that time is answered with [`Closed`](crate::Closed), and its batches
    /// dropped. It is the [`Worker`](crate::Worker) that answers: where nobody polls it, or its service
    /// blocks the thread, this takes longer.
    ///
    /// # Errors
    /// If that happened.
    ///
    /// # Cancel safety
    /// Once polled it is closed. If this is dropped then, the rest is answered without a time limit.
    pub async fn shutdown(&self, within: Duration) -> Result<(), Abandoned> {
        self.close();
        let mut watch = self.watch();
        let over = poll_fn(|cx| self.control.poll_over(&mut watch.watcher, cx));
        if timeout(within, over).await.is_ok() {
            return Ok(());
        }
        let Numbers {
            waiting, in_flight, ..
        } = self.control.numbers();
        self.control.stop();
        poll_fn(|cx| self.control.poll_over(&mut watch.watcher, cx)).await;
        match waiting + in_flight {
            0 => Ok(()),
            items => Err(Abandoned { items }),
        }
    }

    fn watch(&self) -> Watch<'_> {
        Watch {
            control: &*self.control,
            watcher: Watcher::default(),
        }
    }

    /// The numbers of now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let numbers = self.control.numbers();
        Snapshot {
            waiting: numbers.waiting,
            in_flight: numbers.in_flight,
            is_closed: numbers.is_closed,
        }
    }
}

impl Abandoned {
    /// How many items.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }
}

impl<Req, Resp, K> Control for Shared<Req, Resp, K>
where
    Req: Send,
    Resp: Send,
    K: Hash + Eq + Clone + Send,
{
    fn flush(&self) -> u64 {
        self.flush()
    }

    fn poll_answered(&self, below: u64, watcher: &mut Watcher, cx: &Context<'_>) -> Poll<()> {
        self.poll_answered(below, watcher, cx)
    }

    fn close(&self) -> bool {
        self.close()
    }

    fn stop(&self) {
        self.stop();
    }

    fn poll_over(&self, watcher: &mut Watcher, cx: &Context<'_>) -> Poll<()> {
        self.poll_over(watcher, cx)
    }

    fn forget(&self, watcher: &Watcher) {
        self.forget(watcher);
    }

    fn numbers(&self) -> Numbers {
        self.numbers()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.snapshot()).finish()
    }
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items were not answered in time", self.items)
    }
}

impl Error for Abandoned {}
