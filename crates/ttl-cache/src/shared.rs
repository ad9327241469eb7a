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
    boarding::{Older, Place, Vacant},
    calendar::Ticket,
    clock::Clock,
    desk::{Desk, Landing, Outcome},
    event,
    flying::Flying,
    future::Lookup,
    record::{Record, Terms},
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

/// A load has to begin.
pub(crate) struct Berth<'a, K, V> {
    vacant: Vacant<'a, K, V, Sharded<K, V>>,
    /// Where it is a task of its own.
    runtime: Option<Handle>,
    /// What is given meanwhile: then it is a refresh.
    old: Option<Outcome<V>>,
}

/// What a look without a load finds.
pub(crate) enum Look<V> {
    /// Fresh, and counted.
    Hit(V),
    /// It is to be thought about.
    Present,
    Absent,
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
        let Some(record) = self.desk.store.get(hash, key) else {
            return Look::Absent;
        };
        if !record.is_calm(self.clock.now(), self.desk.floor()) {
            return Look::Present;
        }
        let Ok(value) = record.held else {
            unreachable!("a failure is never calm");
        };
        self.hit();
        Look::Hit(value)
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
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q, is_present: bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (now, floor) = (self.clock.exact(), self.desk.floor());
        let fresh = |record: &Record<V>| match record.age(now, floor, || 1.0) {
            Age::Fresh => record.held.clone().ok(),
            _ => None,
        };
        let value = match is_present {
            true => self.desk.store.look(hash, key, fresh).flatten(),
            false => None,
        };
        match value {
            Some(_) => self.hit(),
            None => self.desk.miss(hash),
        }
        value
    }

    /// After a look that was no hit: what there is may be good all the same, or a load has to begin.
    #[inline(never)]
    pub(crate) fn ask<Q>(
        &self,
        hash: u64,
        key: &Q,
        is_present: bool,
    ) -> Result<Lookup<V>, Berth<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !is_present {
            return self.board(hash, key);
        }
        let (now, floor) = (self.clock.exact(), self.desk.floor());
        let good = |record: &Record<V>| match record.age(now, floor, rand::random) {
            Age::Spent | Age::Dead => None,
            age => Some((age, record.held.clone())),
        };
        let good = self.desk.store.look(hash, key, good);
        let Some((age, held)) = good.flatten() else {
            return self.board(hash, key);
        };
        // Without a runtime there is no background.
        let runtime = match age {
            Age::Early | Age::Due => Handle::try_current().ok(),
            _ => None,
        };
        match age {
            Age::Fresh | Age::Early => self.hit(),
            Age::Due if runtime.is_none() => return self.board(hash, key),
            _ => self.desk.stale_hit(hash),
        }
        if let Some(runtime) = runtime
            && let Some(vacant) = self.desk.refresh(hash, key)
        {
            return Err(Berth {
                vacant,
                runtime: Some(runtime),
                old: Some(held),
            });
        }
        Ok(Lookup::ready(held))
    }

    fn board<Q>(&self, hash: u64, key: &Q) -> Result<Lookup<V>, Berth<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        match self.desk.board(hash, key, || self.clock.exact()) {
            Place::Aboard(passenger) => Ok(Lookup::waiting(passenger)),
            Place::Found(held) => {
                self.hit();
                Ok(Lookup::ready(held))
            }
            Place::Vacant(vacant) => Err(Berth {
                vacant,
                runtime: if self.limits.detached {
                    Handle::try_current().ok()
                } else {
                    None
                },
                old: None,
            }),
        }
    }

    /// Begins the load that is needed.
    #[inline(never)]
    pub(crate) fn begin<F, E>(
        self: &Arc<Self>,
        berth: Berth<'_, K, V>,
        key: K,
        load: F,
    ) -> Lookup<V>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let Berth {
            vacant,
            runtime,
            old,
        } = berth;
        let shared = Arc::clone(self);
        if let (Some(runtime), Some(old)) = (&runtime, old) {
            let limit = self.limits.refresh_timeout;
            let bounded = async move {
                match tokio::time::timeout(limit, load).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(_) => Err(RefreshTimedOut::new(limit).into()),
                }
            };
            let keeper = vacant.begin(key, true, |ticket, _| {
                Box::pin(Flying::new(shared, ticket, bounded))
            });
            runtime.spawn(keeper);
            return Lookup::ready(old);
        }
        let first = vacant.begin(key, runtime.is_some(), |ticket, older| match older {
            None => Box::pin(Flying::new(shared, ticket, load)),
            Some(older) => {
                let load = Self::after(Arc::clone(&shared), older, load);
                Box::pin(Flying::new(shared, ticket, load))
            }
        });
        if let Some(runtime) = runtime
            && let Some(passenger) = first.join()
        {
            runtime.spawn(first);
            return Lookup::waiting(passenger);
        }
        Lookup::waiting(first)
    }

    /// What an older flight brings, if it is still good when it has landed; or else the load. So there is
    /// one load of a key, however often tags are invalidated that it does not have.
    async fn after<F, E>(shared: Arc<Self>, older: Older<V>, load: F) -> Result<V, BoxError>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let Older { passenger, stamp } = older;
        let value = passenger.await?;
        let keep = shared.retention.keep(&value);
        let is_good = keep.is_some_and(|it| !shared.desk.tags(&it.tags).are_invalid(stamp));
        match is_good {
            true => Ok(value),
            false => load.await.map_err(Into::into),
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

impl<V> Look<V> {
    pub(crate) const fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<K, V, R> Drop for Shared<K, V, R> {
    fn drop(&mut self) {
        self.alarm.ring();
    }
}
