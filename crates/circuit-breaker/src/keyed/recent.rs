use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use tokio::time::Instant;

/// Values by key, in the order in which they were last used: a hash map, and through its values a list.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    places: HashMap<K, usize>,
    nodes: Vec<Node<K, V>>,
    /// The ends of the list; without meaning while it is empty.
    newest: usize,
    oldest: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    used_at: Instant,
    newer: usize,
    older: usize,
}

/// The end of the list.
const NONE: usize = usize::MAX;

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            places: HashMap::new(),
            nodes: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Looks without using.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = *self.places.get(key)?;
        Some(&self.nodes[place].value)
    }

    /// Looks, and makes it the newest.
    pub(crate) fn use_one(&mut self, key: &K, now: Instant) -> Option<&V> {
        let place = *self.places.get(key)?;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
        let node = &mut self.nodes[place];
        node.used_at = now;
        Some(&node.value)
    }

    /// Adds a key that is not there, as the newest.
    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) {
        let place = self.nodes.len();
        self.places.insert(key.clone(), place);
        self.nodes.push(Node {
            key,
            value,
            used_at: now,
            newer: NONE,
            older: NONE,
        });
        self.link(place);
    }

    /// The one that was not used for the longest, and when it was.
    pub(crate) fn oldest(&self) -> Option<(&V, Instant)> {
        let node = self.nodes.get(self.oldest)?;
        Some((&node.value, node.used_at))
    }

    /// Makes the oldest the newest.
    pub(crate) fn use_oldest(&mut self, now: Instant) {
        let place = self.oldest;
        if place != NONE {
            self.unlink(place);
            self.link(place);
            self.nodes[place].used_at = now;
        }
    }

    /// Removes the oldest. All of it is given back, to be dropped where that does no harm.
    pub(crate) fn remove_oldest(&mut self) -> Option<(K, K, V)> {
        let place = self.oldest;
        if place == NONE {
            return None;
        }
        self.unlink(place);
        let node = self.nodes.swap_remove(place);
        let (key, _) = self.places.remove_entry(&node.key)?;
        if let Some(moved) = self.nodes.get(place) {
            // The last one stands in its place now.
            let from = self.nodes.len();
            let (newer, older) = (moved.newer, moved.older);
            if let Some(it) = self.places.get_mut(&moved.key) {
                *it = place;
            }
            self.point(newer, older, place, place);
            debug_assert_ne!(from, place);
        }
        Some((key, node.key, node.value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.nodes.iter().map(|node| (&node.key, &node.value))
    }

    fn link(&mut self, place: usize) {
        let older = self.newest;
        self.nodes[place].newer = NONE;
        self.nodes[place].older = older;
        self.point(NONE, older, place, place);
    }

    fn unlink(&mut self, place: usize) {
        let Node { newer, older, .. } = self.nodes[place];
        self.point(newer, older, older, newer);
    }

    /// Makes the neighbours on either side, or the ends, point to these.
    fn point(&mut self, newer: usize, older: usize, older_of_newer: usize, newer_of_older: usize) {
        match self.nodes.get_mut(newer) {
            Some(node) => node.older = older_of_newer,
            None => self.newest = older_of_newer,
        }
        match self.nodes.get_mut(older) {
            Some(node) => node.newer = newer_of_older,
            None => self.oldest = newer_of_older,
        }
    }
}
