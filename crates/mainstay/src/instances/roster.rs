use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The processes that run. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Entries>,
    /// Rung when one has gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    /// By the order in which they came.
    running: BTreeMap<u64, (u32, Instant)>,
}

/// The place of one process in it, which ends with this.
#[derive(Debug)]
pub(super) struct Entry {
    roster: Roster,
    number: u64,
}

/// A process of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceSnapshot {
    /// Its process id.
    pub pid: u32,
    /// How long ago it could be called first.
    pub age: Duration,
}

impl Roster {
    pub(super) fn enter(&self, pid: u32) -> Entry {
        let now = Instant::now();
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.running.insert(number, (pid, now));
        Entry {
            roster: self.clone(),
            number,
        }
    }

    pub(super) fn snapshot(&self) -> Vec<InstanceSnapshot> {
        let now = Instant::now();
        let entries = self.lock();
        let of = |(pid, born): &(u32, Instant)| InstanceSnapshot {
            pid: *pid,
            age: now - *born,
        };
        entries.running.values().map(of).collect()
    }

    /// Resolves when there is none.
    pub(super) async fn is_empty(&self) {
        loop {
            let left = self.0.left.notified();
            if self.lock().running.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.lock().running.remove(&self.number);
        self.roster.0.left.notify_waiters();
    }
}
