//! The memory of entries that are dead, given back when nobody calls.

use std::{
    hash::Hash,
    panic::catch_unwind,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{Retention, event, shared::Shared, tick::Tick};

/// When the sweeper wakes next. It is one task, from the first entry to the end of the cache.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Its tick, or one of those below.
    at: AtomicU64,
    moved: Notify,
}

/// There is no task.
const NOBODY: u64 = u64::MAX;

/// The task has nothing to do.
const IDLE: u64 = NOBODY - 1;

/// The task was started, and looks first of all.
const STARTED: u64 = 0;

/// Says that there is no sweeper any more, also when its runtime ends it.
struct AtWork {
    alarm: Arc<Alarm>,
    /// Nor is there to be another.
    is_last: bool,
}

impl Alarm {
    /// Wakes the sweeper.
    pub(crate) fn ring(&self) {
        self.moved.notify_one();
    }
}

impl<K, V, R> Shared<K, V, R>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
{
    /// There is an entry to remove then: has a task wake for it, if there is a runtime for one.
    pub(crate) fn sweep_at(self: &Arc<Self>, next: Tick) {
        let at = self.alarm.at.load(Ordering::Acquire);
        if next.0 < at {
            self.set_alarm(next, at);
        }
    }

    #[cold]
    fn set_alarm(self: &Arc<Self>, next: Tick, at: u64) {
        if at != NOBODY {
            let order = Ordering::AcqRel;
            if self.alarm.at.fetch_min(next.0, order) > next.0 {
                self.alarm.ring();
            }
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let order = Ordering::AcqRel;
        let is_first = self
            .alarm
            .at
            .compare_exchange(NOBODY, STARTED, order, Ordering::Relaxed)
            .is_ok();
        if is_first {
            let at_work = AtWork {
                alarm: Arc::clone(&self.alarm),
                is_last: false,
            };
            runtime.spawn(run(Arc::downgrade(self), at_work));
        }
    }
}

async fn run<K, V, R>(shared: Weak<Shared<K, V, R>>, mut at_work: AtWork)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
{
    if catch_unwind(|| drop(sleep_until(Instant::now()))).is_err() {
        // The runtime has no time, and there is no other way to know. Whoever comes next would find out
        // the same.
        at_work.is_last = true;
        return;
    }
    let alarm = &at_work.alarm;
    loop {
        let Some(cache) = shared.upgrade() else {
            return;
        };
        // What is added while we look has us look again.
        alarm.at.store(IDLE, Ordering::Release);
        event::swept(cache.name.as_deref());
        let next = cache.desk.sweep(cache.clock.exact());
        let next = next.unwrap_or(Tick(IDLE));
        let until = cache.clock.instant(next);
        drop(cache);
        if alarm.at.fetch_min(next.0, Ordering::AcqRel) < next.0 {
            continue;
        }
        let moved = alarm.moved.notified();
        match until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, moved).await;
            }
            None => moved.await,
        }
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            at: AtomicU64::new(NOBODY),
            moved: Notify::new(),
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.is_last {
            self.alarm.at.store(NOBODY, Ordering::Release);
        }
    }
}
