//! Results that wait to be taken.

use std::collections::VecDeque;

/// Results in the order of their items, or as they come: those are not kept.
pub(crate) struct Outbox<T> {
    is_ordered: bool,
    /// In order: a place for every item that was pulled and not yet taken, from the `first` on.
    places: VecDeque<Option<T>>,
    first: u64,
    next: u64,
}

impl<T> Outbox<T> {
    pub(crate) const fn new() -> Self {
        Self {
            is_ordered: true,
            places: VecDeque::new(),
            first: 0,
            next: 0,
        }
    }

    /// As they come, from now on.
    ///
    /// # Panics
    /// If an item has been pulled.
    pub(crate) const fn unorder(&mut self) {
        assert!(self.next == 0, "nothing has been pulled");
        self.is_ordered = false;
    }

    /// An item was pulled: its number.
    #[inline]
    pub(crate) fn pulled(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.is_ordered {
            self.places.push_back(None);
        }
        number
    }

    /// An item has ended. If it is its turn, its result is given back at once.
    #[inline]
    pub(crate) fn put(&mut self, number: u64, result: T) -> Option<T> {
        if !self.is_ordered {
            return Some(result);
        }
        let place = (number - self.first) as usize;
        if place == 0 {
            self.places.pop_front();
            self.first += 1;
            return Some(result);
        }
        self.places[place] = Some(result);
        None
    }

    /// The next result that waits for its turn, and the number of its item.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(u64, T)> {
        let result = self.places.front_mut()?.take()?;
        self.places.pop_front();
        let number = self.first;
        self.first += 1;
        Some((number, result))
    }

    /// How many were pulled and not given away, in order; none otherwise.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}
