//! What the delicate files lean on; the model check gives them its own.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use parking_lot::Mutex;
use tokio::sync::Notify;

/// How the book's desk calls for those who do not stand in the queue.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    housekeeper: Notify,
    watchers: Notify,
}

impl Bell {
    /// There is something for the housekeeper to do; remembered until it comes.
    pub(crate) fn call_housekeeper(&self) {
        self.housekeeper.notify_one();
    }

    /// Connections came or went.
    pub(crate) fn tell_watchers(&self) {
        self.watchers.notify_waiters();
    }

    pub(crate) async fn called(&self) {
        self.housekeeper.notified().await;
    }

    /// Hears what is told from its making on, polled or not.
    pub(crate) fn told(&self) -> impl Future<Output = ()> {
        self.watchers.notified()
    }
}
