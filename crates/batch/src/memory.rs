//! Values that a loader has at hand.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// At most so many; the one that came first goes first.
pub(crate) struct Memory<K, V> {
    limit: usize,
    values: HashMap<K, (u64, V)>,
    /// With such as were replaced or forgotten since, which have another number.
    order: VecDeque<(u64, K)>,
    next: u64,
}

impl<K: Hash + Eq + Clone, V> Memory<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            values: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// What had to go is given back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Vec<V> {
        let number = self.next;
        self.next += 1;
        let replaced = self.values.insert(key.clone(), (number, value));
        let mut gone: Vec<_> = replaced.into_iter().map(|(_, value)| value).collect();
        self.order.push_back((number, key));
        while self.values.len() > self.limit {
            let Some((number, key)) = self.order.pop_front() else {
                break;
            };
            if self.values.get(&key).is_some_and(|it| it.0 == number) {
                gone.extend(self.values.remove(&key).map(|(_, value)| value));
            }
        }
        if self.order.len() > 2 * self.limit {
            let values = &self.values;
            self.order.retain(|(number, key)| {
                let here = values.get(key);
                here.is_some_and(|it| it.0 == *number)
            });
        }
        gone
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.values.remove(key).map(|(_, value)| value)
    }
}
