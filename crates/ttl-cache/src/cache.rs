use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    BoxError, Keep, Limits, Name, Retention, Snapshot, Ttl, event,
    future::Lookup,
    shared::{Look, Shared},
    store::Store,
};

/// Answers by key, each for its time. Clones are handles of one cache.
///
/// What is said here of values holds for errors that are kept, too: see [`KeepErrors`](crate::KeepErrors).
pub struct TtlCache<K, V, R = Ttl> {
    pub(crate) shared: Arc<Shared<K, V, R>>,
}

/// Somebody writes the time down.
struct Written<K, V, R>(Weak<Shared<K, V, R>>);

impl<K, V, R> TtlCache<K, V, R>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
{
    /// An empty cache with these limits, which keeps answers as `retention` says: a [`Ttl`] for all, or
    /// a closure that decides for each.
    #[must_use]
    pub fn new(limits: Limits, retention: R) -> Self {
        Self {
            shared: Arc::new(Shared::new(limits, retention, None)),
        }
    }

    /// One that has a name in its events and failures.
    #[must_use]
    pub fn named(name: impl Into<Name>, limits: Limits, retention: R) -> Self {
        Self {
            shared: Arc::new(Shared::new(limits, retention, Some(name.into()))),
        }
    }

    /// The value of a key, if it is fresh.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.shared.hash(key);
        match self.shared.look(hash, key) {
            Look::Hit(value) => Some(value),
            look => self.shared.get(hash, key, look.is_present()),
        }
    }

    /// The value of a key, which is loaded if it is not there.
    ///
    /// The look-up is done at once; `load` is called when the future that comes of it is polled, if it is
    /// needed. Callers for one key wait for one load, and whoever of them is polled drives it: one that is
    /// cancelled, or not polled any more, does the others no harm. Of those who wait, the load wakes the
    /// one that drove it last and up to seven others, so up to seven may be stalled at once (polled once
    /// and never again, as by a `select!` in a loop); with [`Limits::with_detached_loads`] any number.
    /// When all have gone, the load is dropped.
    ///
    /// A value that may be given while it is revalidated is given at once, and refreshed by a task of its
    /// own; outside a tokio runtime the caller loads it. The runtime has to have time, or refreshes fail.
    ///
    /// The load runs in whatever task polls it, so it sees the task-local values and the span of any of its
    /// callers. It must not ask the cache for its own key: it would wait for itself.
    ///
    /// # Errors
    /// [`LoadFailed`](crate::LoadFailed), the same for all who waited, if the load failed or panicked, and
    /// there is no old value that may be given then.
    #[inline]
    pub fn get_or_load<Q, L, F, E>(&self, key: &Q, load: L) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        L: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let hash = self.shared.hash(key);
        match self.shared.look(hash, key) {
            Look::Hit(value) => Lookup::hit(value),
            look => match self.shared.ask(hash, key, look.is_present()) {
                Ok(lookup) => lookup,
                Err(berth) => {
                    let load = async move { load().await };
                    self.shared.begin(berth, key.to_owned(), load)
                }
            },
        }
    }

    /// Keeps a value, as the cache's [`Retention`] says. A load of the key that is under way is older,
    /// and will not be stored.
    pub fn insert(&self, key: K, value: V) {
        if let Some(keep) = self.shared.retention.keep(&value) {
            self.shared.insert(key, value, &keep);
        } else {
            // What is there is older, and wrong.
            self.invalidate(&key);
        }
    }

    /// Keeps a value for its own time, or with a weight and tags.
    pub fn insert_with(&self, key: K, value: V, keep: impl Into<Keep>) {
        self.shared.insert(key, value, &keep.into());
    }

    /// Removes the value of a key; says whether there was one.
    ///
    /// Of a load that is under way, those who wait for it get the value, but it is not stored, and whoever
    /// comes later begins another. So it is with all invalidations but those by tag.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.desk.invalidate(self.shared.hash(key), key)
    }

    /// Removes all. From the moment of the call on none of them is given; their memory is given back
    /// until it returns, which takes the longer the more there are.
    pub fn invalidate_all(&self) {
        self.shared.desk.invalidate_all();
        event::invalidated(self.name(), "all");
    }

    /// Invalidates all values with this tag, however many there are, in constant time. Their memory is
    /// given back when they expire or have to make room.
    ///
    /// A load that is under way may turn out to have the tag: those who come later wait for it, and begin
    /// another if it has.
    pub fn invalidate_tag(&self, tag: &str) {
        self.shared.desk.invalidate_tag(tag);
        event::invalidated(self.name(), "by tag");
    }

    /// Removes the values of which `predicate` says so, and says how many; it looks at all, of which it
    /// copies one after the other. What is being loaded is not stored.
    pub fn invalidate_if(&self, mut predicate: impl FnMut(&K, &V) -> bool) -> u64
    where
        K: Clone,
    {
        let desk = &self.shared.desk;
        let stamp = desk.hold_off();
        let entries = desk.store.iter().filter_map(|(key, record)| {
            let value = record.held.as_ref().ok()?;
            let is_it = record.stamp < stamp && predicate(&key.key, value);
            is_it.then_some(key.ticket)
        });
        let count = desk.remove(entries, |_| true);
        event::invalidated(self.name(), "by predicate");
        count
    }

    /// Removes what is too old for anything now. That is done all the same: a few with each that is added,
    /// and by a task of the runtime in which the first was.
    pub fn sweep(&self) {
        self.shared.desk.sweep(self.shared.clock.exact());
    }

    /// Has hits look at a clock that is written down every so often, instead of asking the system, which
    /// is the greater part of what a hit costs. To be spawned as a task; ends with the last handle of the
    /// cache. While it is polled, a value is given for at most `every` longer than its time, and
    /// for as long as the runtime keeps this task waiting; what is loaded or put in has the system's time, and
    /// writes it down. When it is dropped, hits ask the system again.
    ///
    /// # Panics
    /// When polled, if `every` is zero or outside a tokio runtime with time.
    pub fn keep_time(&self, every: Duration) -> impl Future<Output = ()> + Send + use<K, V, R> {
        let shared = Arc::downgrade(&self.shared);
        async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let written = Written(shared);
            while let Some(shared) = written.0.upgrade() {
                shared.clock.write();
                drop(shared);
                ticks.tick().await;
            }
        }
    }

    /// What there is, and what was done.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let desk = &self.shared.desk;
        let (tally, loading) = desk.tally();
        Snapshot {
            entries: desk.store.len(),
            weight: desk.store.weight(),
            loading,
            hits: self.shared.hits(),
            ..Snapshot::of(&tally)
        }
    }

    /// The name in its events.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }
}

impl<K, V, R> Drop for Written<K, V, R> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.clock.stop();
        }
    }
}

impl<K, V, R> Clone for TtlCache<K, V, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, V, R> fmt::Debug for TtlCache<K, V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TtlCache")
            .field("name", &self.shared.name)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}
