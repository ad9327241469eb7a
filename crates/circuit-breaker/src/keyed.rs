use std::{
    collections::HashMap,
    error::Error,
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Circuit, Rules};

mod layer;
mod service;

pub use layer::KeyedCircuitBreakerLayer;
pub use service::KeyedCircuitBreaker;

/// A circuit for each key: each host, say, or each tenant.
///
/// It is shared by its clones. A circuit is made, closed, when its key is first asked for, and
/// forgotten when that has not been for a while, or when there are too many keys: then the half of them goes that was
/// not asked for the longest.
pub struct Circuits<K> {
    shared: Arc<Shared<K>>,
}

/// How many circuits are kept, and for how long without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyLimits {
    max_keys: usize,
    idle_for: Duration,
}

/// What is wrong with [`KeyLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeyLimits(&'static str);

struct Shared<K> {
    rules: Arc<Rules>,
    limits: KeyLimits,
    generations: Mutex<Generations<K>>,
}

/// Two maps: circuits that are asked for are in the young one, or come into it. When it is full, or
/// old enough, it becomes the old one, and what was not asked for since the last time is gone.
struct Generations<K> {
    young: HashMap<K, Circuit>,
    old: HashMap<K, Circuit>,
    since: Instant,
}

impl KeyLimits {
    /// At most `max_keys` circuits, each kept for at least `idle_for` and at most twice that after it
    /// was last asked for.
    ///
    /// # Errors
    /// If `max_keys` is less than 2, or `idle_for` zero.
    pub const fn new(max_keys: usize, idle_for: Duration) -> Result<Self, InvalidKeyLimits> {
        if max_keys < 2 {
            return Err(InvalidKeyLimits("the maximum of keys must be 2 at least"));
        }
        if idle_for.is_zero() {
            return Err(InvalidKeyLimits("the idle time must not be zero"));
        }
        Ok(Self { max_keys, idle_for })
    }
}

impl<K: Hash + Eq> Circuits<K> {
    /// Circuits that follow `rules`, and share its name.
    #[must_use]
    pub fn new(rules: Rules, limits: KeyLimits) -> Self {
        let shared = Shared {
            rules: Arc::new(rules),
            limits,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
                since: Instant::now(),
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The circuit of a key, which counts as a use of it.
    #[must_use]
    pub fn circuit(&self, key: K) -> Circuit {
        let now = Instant::now();
        let Shared { rules, limits, .. } = &*self.shared;
        let mut generations = self.shared.lock();
        let forgotten = generations.make_room(limits, now);
        let circuit = generations.circuit(key, || Circuit::small(rules.clone()));
        // Keys and circuits are dropped after the unlock, for a key can do what it likes then.
        drop(generations);
        drop(forgotten);
        circuit
    }

    /// How many circuits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let generations = self.shared.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq> Generations<K> {
    /// Lets the young grow old if it is time, or if they are half of all; gives those that were old.
    fn make_room(&mut self, limits: &KeyLimits, now: Instant) -> Vec<HashMap<K, Circuit>> {
        let age = now.saturating_duration_since(self.since);
        if age < limits.idle_for && self.young.len() < limits.max_keys / 2 {
            return Vec::new();
        }
        self.since = now;
        let young = mem::take(&mut self.young);
        let mut forgotten = vec![mem::replace(&mut self.old, young)];
        if age / 2 >= limits.idle_for {
            forgotten.push(mem::take(&mut self.old));
        }
        forgotten
    }

    fn circuit(&mut self, key: K, new: impl FnOnce() -> Circuit) -> Circuit {
        if let Some(circuit) = self.young.get(&key) {
            return circuit.clone();
        }
        let (key, circuit) = self.old.remove_entry(&key).unwrap_or_else(|| (key, new()));
        self.young.insert(key, circuit.clone());
        circuit
    }
}

impl<K> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, Generations<K>> {
        // What can panic under the lock is the hash or the comparison of a key, before any change.
        let generations = self.generations.lock();
        generations.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Circuits<K> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K> fmt::Debug for Circuits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuits")
            .field("rules", &self.shared.rules)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidKeyLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid limits of keyed circuits: {}", self.0)
    }
}

impl Error for InvalidKeyLimits {}
