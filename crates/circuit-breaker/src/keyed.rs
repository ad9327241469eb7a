use std::{
    borrow::Borrow,
    error::Error,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::recent::Recent;
use crate::{Circuit, Name, Rules};

mod layer;
pub(crate) mod recent;
mod service;

pub use layer::KeyedCircuitBreakerLayer;
pub use service::KeyedCircuitBreaker;

/// A circuit for each key: each host, say, or each tenant.
///
/// It is shared by its clones. A circuit is made, closed, when its key is first asked for. It is
/// forgotten when that has not been for a while, but not while it is open, half-open, or told what to
/// be; and when there are too many keys, then the one that was not asked for the longest, in whatever
/// state it is. Calls of a forgotten circuit end without a trace.
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
    name_of: Option<Box<NameOf<K>>>,
    limits: KeyLimits,
    circuits: Mutex<Recent<K, Circuit>>,
}

type NameOf<K> = dyn Fn(&K) -> Name + Send + Sync;

/// What was taken out under the lock, and is dropped without it: a key can do what it likes then.
type Forgotten<K> = Vec<(K, K, Circuit)>;

impl KeyLimits {
    /// At most `max_keys` circuits, each kept until it was not asked for within `idle_for`. It goes then
    /// when another is asked for.
    ///
    /// # Errors
    /// If one of them is zero.
    pub const fn new(max_keys: usize, idle_for: Duration) -> Result<Self, InvalidKeyLimits> {
        if max_keys == 0 {
            return Err(InvalidKeyLimits("the maximum of keys must not be zero"));
        }
        if idle_for.is_zero() {
            return Err(InvalidKeyLimits("the idle time must not be zero"));
        }
        Ok(Self { max_keys, idle_for })
    }
}

impl<K: Hash + Eq + Clone> Circuits<K> {
    /// Circuits that follow `rules`, and share its name.
    #[must_use]
    pub fn new(rules: Rules, limits: KeyLimits) -> Self {
        Self::with_names(rules, limits, None)
    }

    /// Circuits that follow `rules`, each with a name of its own.
    #[must_use]
    pub fn named(
        rules: Rules,
        limits: KeyLimits,
        name_of: impl Fn(&K) -> Name + Send + Sync + 'static,
    ) -> Self {
        Self::with_names(rules, limits, Some(Box::new(name_of)))
    }

    fn with_names(rules: Rules, limits: KeyLimits, name_of: Option<Box<NameOf<K>>>) -> Self {
        let shared = Shared {
            rules: Arc::new(rules),
            name_of,
            limits,
            circuits: Mutex::new(Recent::new()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The circuit of a key, which counts as a use of it.
    #[must_use]
    pub fn circuit(&self, key: &K) -> Circuit {
        let now = Instant::now();
        let (found, forgotten) = self.shared.find(key, now);
        drop(forgotten);
        found.unwrap_or_else(|| self.shared.make(key.clone(), now))
    }

    /// The circuit of a key, if there is one. That is no use of it.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<Circuit>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.lock().get(key).cloned()
    }

    /// All keys and their circuits, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<(K, Circuit)> {
        let circuits = self.shared.lock();
        let copy = |(key, circuit): (&K, &Circuit)| (key.clone(), circuit.clone());
        circuits.iter().map(copy).collect()
    }

    /// How many circuits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone> Shared<K> {
    /// The circuit of a key, if there is one, and those that were idle for too long.
    fn find(&self, key: &K, now: Instant) -> (Option<Circuit>, Forgotten<K>) {
        let mut circuits = self.lock();
        let found = circuits.use_one(key, now).cloned();
        let forgotten = self.forget_idle(&mut circuits, now);
        (found, forgotten)
    }

    /// Makes the circuit of a key, unless another was quicker.
    fn make(&self, key: K, now: Instant) -> Circuit {
        let mut rules = self.rules.clone();
        if let Some(name_of) = &self.name_of {
            rules = Arc::new(Rules::clone(&rules).with_name(name_of(&key)));
        }
        let new = Circuit::small(rules);
        let mut circuits = self.lock();
        if let Some(circuit) = circuits.use_one(&key, now) {
            return circuit.clone();
        }
        let is_full = circuits.len() >= self.limits.max_keys;
        let forgotten = is_full.then(|| circuits.remove_oldest());
        circuits.insert(key, new.clone(), now);
        drop(circuits);
        drop(forgotten);
        new
    }

    /// Takes out those that were idle for too long.
    fn forget_idle(&self, circuits: &mut Recent<K, Circuit>, now: Instant) -> Forgotten<K> {
        let mut forgotten = Vec::new();
        for _ in 0..circuits.len() {
            match circuits.oldest() {
                Some((circuit, used_at))
                    if now.saturating_duration_since(used_at) >= self.limits.idle_for =>
                {
                    if circuit.is_closed() {
                        forgotten.extend(circuits.remove_oldest());
                    } else {
                        circuits.use_oldest(now);
                    }
                }
                _ => break,
            }
        }
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Recent<K, Circuit>> {
        // What of others can panic under the lock is the hash, the comparison or the copy of a key.
        // The worst that comes of it is a key that is not found.
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
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
