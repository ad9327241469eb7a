//! Results that wait to be taken.

use std::collections::VecDeque;

/// Results in the order of their items, or as they come.
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
    pub(crate) fn pulled(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.is_ordered {
            self.places.push_back(None);
        }
        number
    }

    pub(crate) fn put(&mut self, number: u64, result: T) {
        if self.is_ordered {
            let place = (number - self.first) as usize;
            self.places[place] = Some(result);
        } else {
            // Taken before the next one is put.
            self.first = number;
            self.places.push_back(Some(result));
        }
    }

    /// The next result and the number of its item.
    pub(crate) fn take(&mut self) -> Option<(u64, T)> {
        let result = self.places.front_mut()?.take()?;
        self.places.pop_front();
        let number = self.first;
        if self.is_ordered {
            self.first += 1;
        }
        Some((number, result))
    }

    /// How many were pulled and not taken; of an order of their coming, how many wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}
