//! Where entries are kept, and which of them has to go when there is no room.

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    marker::PhantomData,
};

use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::{Limits, calendar::Ticket, record::Record};

/// Keeps as much as there is room for. Nothing is dropped under a lock of its own: what goes is handed
/// to the caller.
pub(crate) trait Store<K, V> {
    /// A clone, for a use that counts when it is decided what has to go.
    fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<Record<V>>
    where
        K: Borrow<Q>;

    /// A look at an entry, that does not count.
    fn look<Q: Eq + ?Sized, T>(
        &self,
        hash: u64,
        key: &Q,
        look: impl FnOnce(&Record<V>) -> T,
    ) -> Option<T>
    where
        K: Borrow<Q>;

    /// Puts an entry in, and what goes for it into `removed`. If `is_quiet`, taking the place of
    /// another counts for no use of it.
    fn insert(&self, key: Keyed<K>, record: Record<V>, is_quiet: bool, removed: &mut Removed<K, V>);

    fn remove<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<(Keyed<K>, Record<V>)>
    where
        K: Borrow<Q>;

    /// Removes this very entry, if it is there and as it has to be.
    fn take(
        &self,
        ticket: Ticket,
        is_it: impl FnOnce(&Record<V>) -> bool,
    ) -> Option<(Keyed<K>, Record<V>)>;

    fn has(&self, ticket: Ticket) -> bool;

    fn len(&self) -> usize;

    fn weight(&self) -> u64;
}

/// A store that divides its room among parts with a lock each.
pub(crate) struct Sharded<K, V>(Cache<Keyed<K>, Record<V>, ByWeight, Known, Evictions<K, V>>);

/// A key whose hash is known, and the number of its entry.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<K> {
    pub(crate) ticket: Ticket,
    pub(crate) key: K,
}

/// What had to go.
#[derive(Debug)]
pub(crate) struct Removed<K, V> {
    first: Option<(Keyed<K>, Record<V>)>,
    rest: Vec<(Keyed<K>, Record<V>)>,
}

/// Looks for a key whose hash is known.
struct Lookup<'a, Q: ?Sized> {
    hash: u64,
    key: &'a Q,
}

/// Looks for an entry.
struct ByTicket(Ticket);

#[derive(Clone)]
struct ByWeight;

/// The hasher for hashes that are known.
#[derive(Clone, Default)]
struct Known(u64);

struct Evictions<K, V>(PhantomData<fn(K, V)>);

impl<K, V: Clone> Sharded<K, V> {
    pub(crate) fn new(limits: &Limits) -> Self
    where
        K: Eq,
    {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(limits.entries)
            .weight_capacity(limits.weight)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(
            options,
            ByWeight,
            Known::default(),
            Evictions(PhantomData),
        ))
    }

    /// Copies of all keys and entries, one after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Keyed<K>, Record<V>)>
    where
        K: Clone + Eq,
    {
        self.0.iter()
    }
}

impl<K: Eq, V: Clone> Store<K, V> for Sharded<K, V> {
    #[inline]
    fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<Record<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(&Lookup { hash, key })
    }

    fn look<Q: Eq + ?Sized, T>(
        &self,
        hash: u64,
        key: &Q,
        look: impl FnOnce(&Record<V>) -> T,
    ) -> Option<T>
    where
        K: Borrow<Q>,
    {
        let mut seen = None;
        self.0.remove_if(&Lookup { hash, key }, |record| {
            seen = Some(look(record));
            false
        });
        seen
    }

    fn insert(
        &self,
        key: Keyed<K>,
        record: Record<V>,
        is_quiet: bool,
        removed: &mut Removed<K, V>,
    ) {
        if !is_quiet {
            return self.0.insert_with_lifecycle(key, record, removed);
        }
        if let Err((key, record)) = self.0.replace_with_lifecycle(key, record, true, removed) {
            self.0.insert_with_lifecycle(key, record, removed);
        }
    }

    fn remove<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<(Keyed<K>, Record<V>)>
    where
        K: Borrow<Q>,
    {
        self.0.remove(&Lookup { hash, key })
    }

    fn take(
        &self,
        ticket: Ticket,
        is_it: impl FnOnce(&Record<V>) -> bool,
    ) -> Option<(Keyed<K>, Record<V>)> {
        self.0.remove_if(&ByTicket(ticket), is_it)
    }

    fn has(&self, ticket: Ticket) -> bool {
        self.0.contains_key(&ByTicket(ticket))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self) -> u64 {
        self.0.weight()
    }
}

impl<K, V> Removed<K, V> {
    pub(crate) fn push(&mut self, key: Keyed<K>, record: Record<V>) {
        if self.first.is_none() {
            self.first = Some((key, record));
        } else {
            self.rest.push((key, record));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Keyed<K>, Record<V>)> {
        self.first.iter().chain(&self.rest)
    }
}

impl<K, V> Default for Removed<K, V> {
    fn default() -> Self {
        Self {
            first: None,
            rest: Vec::new(),
        }
    }
}

impl<K: Eq> PartialEq for Keyed<K> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq> Eq for Keyed<K> {}

impl<K> Hash for Keyed<K> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.ticket.hash);
    }
}

impl<Q: ?Sized> Hash for Lookup<'_, Q> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Borrow<Q>, Q: Eq + ?Sized> Equivalent<Keyed<K>> for Lookup<'_, Q> {
    #[inline]
    fn equivalent(&self, key: &Keyed<K>) -> bool {
        key.key.borrow() == self.key
    }
}

impl Hash for ByTicket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl<K> Equivalent<Keyed<K>> for ByTicket {
    fn equivalent(&self, key: &Keyed<K>) -> bool {
        key.ticket == self.0
    }
}

impl<K, V> Weighter<Keyed<K>, Record<V>> for ByWeight {
    fn weight(&self, _: &Keyed<K>, record: &Record<V>) -> u64 {
        record.weight()
    }
}

impl<K, V> Lifecycle<Keyed<K>, Record<V>> for Evictions<K, V> {
    type RequestState = Removed<K, V>;

    fn on_evict(&self, removed: &mut Removed<K, V>, key: Keyed<K>, record: Record<V>) {
        removed.push(key, record);
    }
}

impl<K, V> Clone for Evictions<K, V> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl BuildHasher for Known {
    type Hasher = Self;

    #[inline]
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Known {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("all that is hashed is a hash");
    }
}

impl<K, V> fmt::Debug for Sharded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").finish_non_exhaustive()
    }
}
