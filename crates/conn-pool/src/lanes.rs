use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::time::Instant;

use crate::book::{Lend, ONLY};
use crate::desk::Desk;
use crate::sync::Mutex;

/// Which lane of the book is for which target.
pub(crate) enum Lanes<K> {
    One(Arc<K>),
    /// Behind a lock of its own, since a key's `Hash` and `Eq` are foreign code. Where both are
    /// needed, this one is taken before the book's.
    Many(Mutex<Keys<K>>),
}

pub(crate) struct Keys<K> {
    lanes: HashMap<Arc<K>, u32>,
    keys: HashMap<u32, Arc<K>>,
}

impl<K> Lanes<K> {
    pub(crate) fn many() -> Self {
        Self::Many(Mutex::new(Keys {
            lanes: HashMap::new(),
            keys: HashMap::new(),
        }))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(keys) => keys.lock().lanes.len(),
        }
    }

    pub(crate) fn key(&self, lane: u32) -> Option<Arc<K>> {
        match self {
            Self::One(key) => Some(key.clone()),
            Self::Many(keys) => keys.lock().keys.get(&lane).cloned(),
        }
    }

    /// The lane of a key, for someone who says when to [let go](Self::let_go) of it.
    pub(crate) fn hold<R: Lend>(&self, key: K, desk: &Desk<R>) -> u32
    where
        K: Hash + Eq,
    {
        let Self::Many(keys) = self else {
            return ONLY;
        };
        let mut keys = keys.lock();
        if let Some(&lane) = keys.lanes.get(&key) {
            desk.read(|book| book.gain_interest(lane));
            drop(keys);
            return lane;
        }
        let lane = desk.read(|book| {
            let lane = book.new_lane();
            book.gain_interest(lane);
            lane
        });
        let key = Arc::new(key);
        keys.lanes.insert(key.clone(), lane);
        keys.keys.insert(lane, key);
        lane
    }

    #[inline]
    pub(crate) fn let_go<R: Lend>(&self, lane: u32, desk: &Desk<R>) {
        if lane != ONLY {
            let now = Instant::now();
            desk.enter(|book, fx| book.lose_interest(lane, now, fx));
        }
    }

    /// Forgets those of these lanes that are still empty; says which.
    pub(crate) fn forget<R: Lend>(&self, empty: Vec<u32>, desk: &Desk<R>) -> Vec<u32>
    where
        K: Hash + Eq,
    {
        let Self::Many(keys) = self else {
            return Vec::new();
        };
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut forgotten = Vec::new();
        for lane in empty {
            let mut keys = keys.lock();
            if let Some(failing) = desk.read(|book| book.forget(lane, now)) {
                let key = keys.keys.remove(&lane);
                if let Some(key) = &key {
                    keys.lanes.remove(key);
                }
                drop(keys);
                forgotten.push(lane);
                gone.push((key, failing));
            }
        }
        forgotten
    }
}
