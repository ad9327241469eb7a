//! What the handles of a cache share.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use mainstay_striped::Striped;
use quick_cache::DefaultHashBuilder;
use tokio::runtime::Handle;

use crate::{
    BoxError, Keep, Limits, LoadFailed, Name, RefreshTimedOut, Retention,
    calendar::Ticket,
    clock::Clock,
    desk::{Desk, Landing, Outcome, Place, Terms},
    event,
    flying::Flying,
    future::Lookup,
    record::Record,
    store::{Removed, Sharded, Store},
    sweeper::Alarm,
    tick::Tick,
    windows::{Age, Windows},
};

pub(crate) struct Shared<K, V, R> {
    hasher: DefaultHashBuilder,
    pub(crate) clock: Clock,
    pub(crate) desk: Desk<K, V, Sharded<K, V>>,
    hits: Striped<AtomicU64>,
    pub(crate) retention: R,
    pub(crate) limits: Limits,
    pub(crate) name: Option<Name>,
    pub(crate) alarm: Arc<Alarm>,
}

/// What a look without a load finds.
pub(crate) enum Look<V> {
    /// Fresh, and counted.
    Hit(V),
    /// To be thought about, if it is there at all.
    Other(Option<Record<V>>),
}

impl<K, V, R> Shared<K, V, R>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
{
    pub(crate) fn new(limits: Limits, retention: R, name: Option<Name>) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // As many as make it unlikely that two threads want one at once, and none for few entries.
        let parts = (threads * 16)
            .min(limits.entries / 32 + 1)
            .next_power_of_two();
        Self {
            hasher: DefaultHashBuilder::default(),
            clock: Clock::new(),
            desk: Desk::new(Sharded::new(&limits), parts),
            hits: Striped::new(threads),
            retention,
            limits,
            name,
            alarm: Arc::default(),
        }
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(crate) fn look<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Look<V>
    where
        K: Borrow<Q>,
    {
        match self.desk.store.get(hash, key) {
            Some(record) if record.is_calm(self.clock.now(), self.desk.floor()) => {
                match record.held {
                    Ok(value) => {
                        self.hit();
                        Look::Hit(value)
                    }
                    Err(_) => unreachable!("a failure is never calm"),
                }
            }
            other => Look::Other(other),
        }
    }

    #[inline]
    fn hit(&self) {
        let mine = self.hits.mine();
        if mine.is_own() {
            mine.store(mine.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            mine.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// After a look that was no hit, for somebody who does not load.
    #[inline(never)]
    pub(crate) fn get(&self, hash: u64, record: Option<Record<V>>) -> Option<V> {
        let now = self.clock.exact();
        let value = record.and_then(|record| match record.age(now, self.desk.floor(), || 1.0) {
            Age::Fresh => record.held.ok(),
            _ => None,
        });
        match value {
            Some(_) => self.hit(),
            None => self.desk.miss(hash),
        }
        value
    }

    /// After a look that was no hit: what there is may be good all the same, or a load is needed.
    #[inline(never)]
    pub(crate) fn ask<Q, F, E>(
        self: &Arc<Self>,
        hash: u64,
        key: &Q,
        record: Option<Record<V>>,
        load: impl FnOnce() -> F,
    ) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let now = self.clock.exact();
        if let Some(record) = record {
            match record.age(now, self.desk.floor(), rand::random) {
                Age::Fresh => {
                    self.hit();
                    return Lookup::ready(record.held);
                }
                Age::Resting => {
                    self.desk.stale_hit(hash);
                    return Lookup::ready(record.held);
                }
                // Without a runtime there is no background.
                Age::Early => {
                    self.hit();
                    if let Ok(runtime) = Handle::try_current() {
                        self.refresh(&runtime, hash, key, now, load);
                    }
                    return Lookup::ready(record.held);
                }
                Age::Due => {
                    if let Ok(runtime) = Handle::try_current() {
                        self.desk.stale_hit(hash);
                        self.refresh(&runtime, hash, key, now, load);
                        return Lookup::ready(record.held);
                    }
                }
                Age::Spent | Age::Dead => {}
            }
        }
        let runtime = if self.limits.detached {
            Handle::try_current().ok()
        } else {
            None
        };
        let has_keeper = runtime.is_some();
        let place = self.desk.board(hash, key, now, has_keeper, |ticket| {
            Box::pin(Flying::new(Arc::clone(self), ticket, now, load()))
        });
        match place {
            Place::Found(record) => {
                self.hit();
                Lookup::ready(record.held)
            }
            Place::Aboard(passenger, keeper) => {
                if let Some((runtime, keeper)) = runtime.zip(keeper) {
                    runtime.spawn(keeper);
                }
                Lookup::waiting(passenger)
            }
        }
    }

    fn refresh<Q, F, E>(
        self: &Arc<Self>,
        runtime: &Handle,
        hash: u64,
        key: &Q,
        now: Tick,
        load: impl FnOnce() -> F,
    ) where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let limit = self.limits.refresh_timeout;
        let passenger = self.desk.refresh(hash, key, |ticket| {
            let load = load();
            let bounded = async move {
                match tokio::time::timeout(limit, load).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(_) => Err(RefreshTimedOut::new(limit).into()),
                }
            };
            Box::pin(Flying::new(Arc::clone(self), ticket, now, bounded))
        });
        if let Some(passenger) = passenger {
            runtime.spawn(passenger);
        }
    }

    /// How an answer is kept that took so long to load, if it is.
    pub(crate) fn terms(&self, keep: &Keep, now: Tick, took: Duration) -> Terms {
        let u = if keep.ttl.jitter > 0.0 {
            rand::random()
        } else {
            0.0
        };
        Terms {
            windows: Windows::open(&keep.ttl, now, took, u),
            weight: keep.weight,
            tags: self.desk.tags(&keep.tags),
        }
    }

    pub(crate) fn landing(
        &self,
        result: Result<V, LoadFailed>,
        now: Tick,
        took: Duration,
    ) -> Landing<V> {
        match result {
            Ok(value) => {
                let keep = self.retention.keep(&value);
                let kept = keep.map(|keep| (value.clone(), self.terms(&keep, now, took)));
                Landing::Loaded(value, kept)
            }
            Err(failure) => {
                let kept = self.retention.keep_error(failure.boxed_cause());
                let kept = kept.filter(|it| !it.is_zero());
                Landing::Failed {
                    failure,
                    kept: kept.map(|time| Windows::of_failure(now, time)),
                    retry_at: now.after(self.limits.retry_after),
                }
            }
        }
    }

    pub(crate) fn insert(self: &Arc<Self>, key: K, value: V, keep: &Keep) {
        let now = self.clock.exact();
        let terms = self.terms(keep, now, Duration::ZERO);
        let mut removed = Removed::default();
        let hash = self.hash(&key);
        let next = self.desk.insert(hash, key, value, terms, now, &mut removed);
        self.sweep_at(next);
        self.log_removed(&removed);
    }

    /// The end of a load.
    pub(crate) fn land(
        self: &Arc<Self>,
        ticket: Ticket,
        landing: Landing<V>,
        took: Duration,
        now: Tick,
    ) -> Outcome<V> {
        let mut removed = Removed::default();
        let (outcome, next) = self.desk.land(ticket, landing, took, now, &mut removed);
        if let Some(next) = next {
            self.sweep_at(next);
        }
        self.log_removed(&removed);
        outcome
    }

    fn log_removed(&self, removed: &Removed<K, V>) {
        event::removed(self.name.as_deref(), removed.iter().count());
    }
}

impl<K, V, R> Drop for Shared<K, V, R> {
    fn drop(&mut self) {
        self.alarm.ring();
    }
}
