//! The store and the flights to it, and the order of what happens to both.
//!
//! All that changes an entry is done under the lock of its key's part: a landing compares its flight with
//! the one that is known, stores and removes it in one step, and who starts a flight has looked into the
//! store again in that step. So there is one load for a key; and an invalidation only has to make the
//! flight unknown, or raise a floor, for its value not to be stored. Look-ups take no such lock.
//!
//! Nothing that is the user's is dropped under a lock: what goes is put into [`Removed`].

use std::time::Duration;

use crate::{
    LoadFailed,
    calendar::Ticket,
    keys::{FEW, Keys, Known, Part},
    record::{Record, Terms},
    store::{Keyed, Removed, Store},
    sync::{AtomicU64, Mutex, Ordering},
    tags::{Stamp, TagNames, Tags},
    tally::{Cause, Tally},
    tick::Tick,
    windows::{Age, Windows},
};

pub(crate) type Outcome<V> = Result<V, LoadFailed>;

pub(crate) struct Desk<K, V, S> {
    /// Older entries are not valid. It is read with each hit, and written when all are invalidated.
    pub(crate) cleared: AtomicU64,
    pub(crate) store: S,
    pub(crate) parts: Box<[Part<K, V>]>,
    /// Rises by one with each invalidation that is not of a single key.
    pub(crate) stamps: AtomicU64,
    /// One invalidation at a time.
    pub(crate) raising: Mutex<()>,
    /// A flight that is older is not joined. Raised last.
    pub(crate) join_floor: AtomicU64,
    /// What an older flight brings is not stored.
    pub(crate) store_floor: AtomicU64,
    pub(crate) tags: TagNames,
}

/// How a load has ended.
pub(crate) enum Landing<V> {
    /// With an answer, and a copy to be stored.
    Loaded(V, Option<(V, Terms)>),
    Failed {
        failure: LoadFailed,
        /// Until when it is told again.
        kept: Option<Windows>,
        /// When there may be another try, while an old answer is given.
        retry_at: Tick,
    },
}

/// How many dead entries are removed each time that one is added.
const SWEPT_ALONG: usize = 4;

impl<K, V, S> Desk<K, V, S>
where
    K: Eq,
    V: Clone + Send + Sync + 'static,
    S: Store<K, V>,
{
    /// `parts` is a power of two.
    pub(crate) fn new(store: S, parts: usize) -> Self {
        // The stamp of what is always too old is 0.
        let first = || AtomicU64::new(1);
        Self {
            cleared: first(),
            store,
            parts: (0..parts).map(|_| Part(Mutex::new(Keys::new()))).collect(),
            stamps: first(),
            raising: Mutex::new(()),
            join_floor: first(),
            store_floor: first(),
            tags: TagNames::default(),
        }
    }

    #[inline]
    pub(crate) fn floor(&self) -> Stamp {
        Stamp(self.cleared.load(Ordering::Acquire))
    }

    pub(crate) fn part(&self, hash: u64) -> &Mutex<Keys<K, V>> {
        // Bits that neither the table of a part nor that of the store begins with.
        let index = (hash >> 40) as usize & (self.parts.len() - 1);
        &self.parts[index].0
    }

    /// The end of a flight; says what its passengers get, and when the next entry is to be removed if one
    /// was added.
    pub(crate) fn land(
        &self,
        ticket: Ticket,
        landing: Landing<V>,
        took: Duration,
        now: Tick,
        removed: &mut Removed<K, V>,
    ) -> (Outcome<V>, Option<Tick>) {
        let (mut _key, mut _copy) = (None, None);
        let mut keys = self.part(ticket.hash).lock();
        let known = keys.take(ticket);
        let floor = self.store_floor.load(Ordering::Acquire);
        let is_late = known.as_ref().is_none_or(|it| it.stamp.0 < floor);
        keys.tally.load_time += took;
        match landing {
            Landing::Loaded(value, kept) => {
                keys.tally.loaded += 1;
                let Some(known) = known else {
                    _copy = kept.map(|(copy, _)| copy);
                    return (Ok(value), None);
                };
                let Some((copy, terms)) = kept else {
                    // What is there is older, and wrong.
                    if known.has_entry
                        && let Some((key, old)) = self.store.remove(ticket.hash, &known.key)
                    {
                        keys.tally.removed(match now >= old.dead_at() {
                            true => Cause::Expired,
                            false => Cause::Explicit,
                        });
                        removed.push(key, old);
                    }
                    _key = Some(known.key);
                    return (Ok(value), None);
                };
                if is_late || terms.tags.are_invalid(known.stamp) {
                    (_key, _copy) = (Some(known.key), Some(copy));
                    return (Ok(value), None);
                }
                let next = self.put(&mut keys, known, Ok(copy), terms, now, removed);
                (Ok(value), Some(next))
            }
            Landing::Failed {
                failure,
                kept,
                retry_at,
            } => {
                keys.tally.failed += 1;
                let Some(known) = known else {
                    return (Err(failure), None);
                };
                let floor = self.floor();
                let old = self.store.look(ticket.hash, &known.key, |record| {
                    if record.age(now, floor, || 1.0) == Age::Dead {
                        return None;
                    }
                    record.rest_until(retry_at);
                    record.held.clone().ok()
                });
                if let Some(value) = old.flatten() {
                    _key = Some(known.key);
                    return (Ok(value), None);
                }
                let Some(windows) = kept.filter(|_| !is_late) else {
                    _key = Some(known.key);
                    return (Err(failure), None);
                };
                let terms = Terms {
                    windows,
                    weight: 1,
                    tags: Tags::default(),
                };
                let held = Err(failure.clone());
                let next = self.put(&mut keys, known, held, terms, now, removed);
                (Err(failure), Some(next))
            }
        }
    }

    /// A flight that was dropped before it landed.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let mut keys = self.part(ticket.hash).lock();
        keys.tally.abandoned += 1;
        let known = keys.take(ticket);
        drop(keys);
        drop(known);
    }

    /// Puts an answer in that was not loaded. It is newer than any that is being loaded.
    pub(crate) fn insert(
        &self,
        hash: u64,
        key: K,
        value: V,
        terms: Terms,
        now: Tick,
        removed: &mut Removed<K, V>,
    ) -> Tick {
        let _disowned;
        let mut keys = self.part(hash).lock();
        _disowned = keys.disown(hash, &key);
        let ticket = keys.ticket(hash);
        let record = Record::new(Ok(value), terms, self.stamp());
        self.store(
            &mut keys,
            Keyed { ticket, key },
            record,
            false,
            now,
            removed,
        )
    }

    fn put(
        &self,
        keys: &mut Keys<K, V>,
        known: Known<K, V>,
        held: Outcome<V>,
        terms: Terms,
        now: Tick,
        removed: &mut Removed<K, V>,
    ) -> Tick {
        let Known {
            ticket,
            stamp,
            key,
            has_entry,
            ..
        } = known;
        let record = Record::new(held, terms, stamp);
        // That an answer has come is no use of it.
        let key = Keyed { ticket, key };
        self.store(keys, key, record, has_entry, now, removed)
    }

    fn store(
        &self,
        keys: &mut Keys<K, V>,
        key: Keyed<K>,
        record: Record<V>,
        is_quiet: bool,
        now: Tick,
        removed: &mut Removed<K, V>,
    ) -> Tick {
        let ticket = key.ticket;
        if keys.calendar.len() >= keys.full {
            keys.calendar.retain(|it| self.store.has(it));
            keys.full = FEW.max(3 * keys.calendar.len());
        }
        let next = keys.calendar.push(record.dead_at(), now, ticket);
        self.store.insert(key, record, is_quiet, removed);
        let floor = self.floor();
        for (gone, record) in removed.iter() {
            let cause = if gone.ticket == ticket {
                Cause::Rejected
            } else if record.is_invalid(floor) {
                Cause::Explicit
            } else if now >= record.dead_at() {
                Cause::Expired
            } else if gone.ticket.hash == ticket.hash {
                // Or one of another key with the same hash, of which there are hardly any.
                Cause::Replaced
            } else {
                Cause::Size
            };
            keys.tally.removed(cause);
        }
        self.sweep_some(keys, now, SWEPT_ALONG, removed);
        next
    }

    /// Removes what is dead, in small steps; says when there is more to do.
    pub(crate) fn sweep(&self, now: Tick) -> Option<Tick> {
        let mut next = None;
        for Part(part) in &self.parts {
            loop {
                let mut removed = Removed::default();
                let mut keys = part.lock();
                if !self.sweep_some(&mut keys, now, 64, &mut removed) {
                    let then = keys.calendar.next();
                    next = [next, then].into_iter().flatten().min();
                    break;
                }
                drop(keys);
            }
        }
        next
    }

    /// Whether there may be more.
    fn sweep_some(
        &self,
        keys: &mut Keys<K, V>,
        now: Tick,
        at_most: usize,
        removed: &mut Removed<K, V>,
    ) -> bool {
        for _ in 0..at_most {
            let Some(ticket) = keys.calendar.pop_due(now) else {
                return false;
            };
            if let Some((key, record)) = self.store.take(ticket, |_| true) {
                let is_invalid = record.is_invalid(self.floor());
                keys.tally.removed(match is_invalid {
                    true => Cause::Explicit,
                    false => Cause::Expired,
                });
                removed.push(key, record);
            }
        }
        true
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp(self.stamps.load(Ordering::Acquire))
    }

    pub(crate) fn tags(&self, names: &[std::sync::Arc<str>]) -> Tags {
        self.tags.find(names)
    }

    pub(crate) fn stale_hit(&self, hash: u64) {
        self.part(hash).lock().tally.stale_hits += 1;
    }

    pub(crate) fn miss(&self, hash: u64) {
        self.part(hash).lock().tally.misses += 1;
    }

    /// All counts, and how many flights there are.
    pub(crate) fn tally(&self) -> (Tally, usize) {
        let mut tally = Tally::default();
        let mut flights = 0;
        for Part(part) in &self.parts {
            let keys = part.lock();
            tally.add(&keys.tally);
            flights += keys.flights.len();
        }
        (tally, flights)
    }
}
