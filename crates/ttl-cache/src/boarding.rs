//! How a miss gets on a flight.

use std::borrow::Borrow;

use crate::{
    calendar::Ticket,
    desk::{Desk, Outcome},
    flight::{Flight, Load, Passenger},
    keys::{Keys, Known},
    store::Store,
    sync::{MutexGuard, Ordering},
    tags::Stamp,
    tick::Tick,
    windows::Age,
};

/// What comes of a miss.
pub(crate) enum Place<'a, K, V, S> {
    /// Somebody was faster.
    Found(Outcome<V>),
    Aboard(Passenger<Outcome<V>>),
    Vacant(Vacant<'a, K, V, S>),
}

/// There is no flight for the key, and as long as this lives nobody else begins one.
pub(crate) struct Vacant<'a, K, V, S> {
    desk: &'a Desk<K, V, S>,
    keys: MutexGuard<'a, Keys<K, V>>,
    hash: u64,
    has_entry: bool,
    older: Option<Older<V>>,
}

/// A flight that began before a tag was invalidated. What it brings is good for those who come later if
/// it does not have that tag, which nobody knows before it lands.
pub(crate) struct Older<V> {
    pub(crate) passenger: Passenger<Outcome<V>>,
    pub(crate) stamp: Stamp,
}

impl<K, V, S> Desk<K, V, S>
where
    K: Eq,
    V: Clone + Send + Sync + 'static,
    S: Store<K, V>,
{
    /// After a miss: the flight that is under way, or the place for a new one.
    pub(crate) fn board<Q>(
        &self,
        hash: u64,
        key: &Q,
        now: impl FnOnce() -> Tick,
    ) -> Place<'_, K, V, S>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // Before the lock, so that it goes after it: it may be the last on its flight.
        let mut older = None;
        let mut keys = self.part(hash).lock();
        // In this order: whoever sees a flight to be too old to join sees whether it is for its tags alone.
        let join_floor = self.join_floor.load(Ordering::Acquire);
        let store_floor = self.store_floor.load(Ordering::Acquire);
        // One that is too old for all, or was abandoned just now, is not joined.
        if let Some(known) = keys.find(hash, key)
            && known.stamp.0 >= store_floor
            && let Some(passenger) = known.flight.join()
        {
            let stamp = known.stamp;
            if stamp.0 >= join_floor {
                keys.tally.waiters += 1;
                return Place::Aboard(passenger);
            }
            older = Some(Older { passenger, stamp });
        }
        let floor = self.floor();
        let found = self
            .store
            .look(hash, key, |record| match record.age(now(), floor, || 1.0) {
                Age::Fresh | Age::Resting => Some(record.held.clone()),
                _ => None,
            });
        let has_entry = found.is_some();
        if let Some(found) = found.flatten() {
            return Place::Found(found);
        }
        keys.tally.misses += 1;
        Place::Vacant(Vacant {
            desk: self,
            keys,
            hash,
            has_entry,
            older,
        })
    }

    /// The place for a refresh, unless a flight is under way.
    pub(crate) fn refresh<Q>(&self, hash: u64, key: &Q) -> Option<Vacant<'_, K, V, S>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let keys = self.part(hash).lock();
        if let Some(known) = keys.find(hash, key)
            && known.stamp.0 >= self.store_floor.load(Ordering::Acquire)
        {
            return None;
        }
        Some(Vacant {
            desk: self,
            keys,
            hash,
            has_entry: true,
            older: None,
        })
    }
}

impl<K, V, S> Vacant<'_, K, V, S>
where
    K: Eq,
    V: Clone + Send + Sync + 'static,
    S: Store<K, V>,
{
    /// Begins a flight. If it has a keeper, its first passenger is that.
    pub(crate) fn begin(
        self,
        key: K,
        has_keeper: bool,
        load: impl FnOnce(Ticket, Option<Older<V>>) -> Load<Outcome<V>>,
    ) -> Passenger<Outcome<V>> {
        let _disowned;
        let Self {
            desk,
            mut keys,
            hash,
            has_entry,
            older,
        } = self;
        _disowned = keys.disown(hash, &key);
        let ticket = keys.ticket(hash);
        let stamp = desk.stamp();
        let (flight, passenger) = Flight::new(load(ticket, older), has_keeper);
        let known = Known {
            ticket,
            stamp,
            key,
            flight,
            has_entry,
        };
        keys.flights.insert_unique(hash, known, |it| it.ticket.hash);
        passenger
    }
}
