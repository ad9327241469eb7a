//! What is known of the keys of one part of a cache.

use std::borrow::Borrow;

use hashbrown::HashTable;

use crate::{
    calendar::{Calendar, Ticket},
    desk::Outcome,
    flight::Flight,
    sync::{Arc, Mutex},
    tags::Stamp,
    tally::Tally,
};

/// On lines of its own.
#[repr(align(128))]
pub(crate) struct Part<K, V>(pub(crate) Mutex<Keys<K, V>>);

pub(crate) struct Keys<K, V> {
    pub(crate) flights: HashTable<Known<K, V>>,
    pub(crate) calendar: Calendar,
    /// Forgets tickets of entries that have gone when there are so many.
    pub(crate) full: usize,
    pub(crate) last_id: u64,
    pub(crate) tally: Tally,
}

/// A flight.
pub(crate) struct Known<K, V> {
    pub(crate) ticket: Ticket,
    pub(crate) stamp: Stamp,
    pub(crate) key: K,
    pub(crate) flight: Arc<Flight<Outcome<V>>>,
    /// There was an entry when it began: there may be one to take the place of.
    pub(crate) has_entry: bool,
}

/// The fewest tickets to look through for those that are of no use.
pub(crate) const FEW: usize = 128;

impl<K, V> Keys<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            flights: HashTable::new(),
            calendar: Calendar::default(),
            full: FEW,
            last_id: 0,
            tally: Tally::default(),
        }
    }

    pub(crate) fn ticket(&mut self, hash: u64) -> Ticket {
        self.last_id += 1;
        Ticket {
            hash,
            id: self.last_id,
        }
    }

    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<&Known<K, V>>
    where
        K: Borrow<Q>,
    {
        self.flights
            .find(hash, |it| it.ticket.hash == hash && it.key.borrow() == key)
    }

    /// Has the flight of a key be unknown: it will not be stored.
    pub(crate) fn disown<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<Known<K, V>>
    where
        K: Borrow<Q>,
    {
        let is_it = |it: &Known<K, V>| it.ticket.hash == hash && it.key.borrow() == key;
        let entry = self.flights.find_entry(hash, is_it).ok()?;
        Some(entry.remove().0)
    }

    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Known<K, V>> {
        let entry = self
            .flights
            .find_entry(ticket.hash, |it| it.ticket == ticket);
        Some(entry.ok()?.remove().0)
    }
}
