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
    kept: Mutex<Kept<K>>,
}

struct Kept<K> {
    circuits: Recent<K, Circuit>,
    /// None of them is idle for too long before.
    look_at: Instant,
}

type NameOf<K> = dyn Fn(&K) -> Name + Send + Sync;

/// What was taken out under the lock, and is dropped without it: a key can do what it likes then.
type Forgotten<K> = Vec<(K, K, Circuit)>;

/// Thirty years, as tokio has it.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

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
            kept: Mutex::new(Kept {
                circuits: Recent::new(),
                look_at: Instant::now(),
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The circuit of a key, which counts as a use of it.
    #[must_use]
    pub fn circuit(&self, key: &K) -> Circuit {
        let now = Instant::now();
        let mut kept = self.shared.lock();
        let found = kept.circuits.use_one(key, now).cloned();
        let is_due = now >= kept.look_at;
        let forgotten = is_due.then(|| self.shared.forget_idle(&mut kept, now));
        drop(kept);
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
        self.shared.lock().circuits.get(key).cloned()
    }

    /// All keys and their circuits, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<(K, Circuit)> {
        let kept = self.shared.lock();
        let copy = |(key, circuit): (&K, &Circuit)| (key.clone(), circuit.clone());
        kept.circuits.iter().map(copy).collect()
    }

    /// How many circuits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().circuits.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone> Shared<K> {
    /// Makes the circuit of a key, unless another was quicker.
    fn make(&self, key: K, now: Instant) -> Circuit {
        let mut rules = self.rules.clone();
        if let Some(name_of) = &self.name_of {
            rules = Arc::new(Rules::clone(&rules).with_name(name_of(&key)));
        }
        let new = Circuit::small(rules);
        let mut kept = self.lock();
        if let Some(circuit) = kept.circuits.use_one(&key, now) {
            return circuit.clone();
        }
        let is_full = kept.circuits.len() >= self.limits.max_keys;
        let forgotten = is_full.then(|| kept.circuits.remove_oldest());
        kept.circuits.insert(key, new.clone(), now);
        drop(kept);
        drop(forgotten);
        new
    }

    /// Takes out those that were idle for too long.
    #[cold]
    fn forget_idle(&self, kept: &mut Kept<K>, now: Instant) -> Forgotten<K> {
        let Kept { circuits, look_at } = kept;
        let mut forgotten = Vec::new();
        // If there are none, then no other can be idle for too long any earlier.
        let mut oldest_used_at = now;
        for _ in 0..circuits.len() {
            let Some((circuit, used_at)) = circuits.oldest() else {
                break;
            };
            oldest_used_at = used_at;
            if now.saturating_duration_since(used_at) < self.limits.idle_for {
                break;
            }
            if circuit.is_closed() {
                forgotten.extend(circuits.remove_oldest());
            } else {
                circuits.use_oldest(now);
            }
            oldest_used_at = now;
        }
        let idle_at = oldest_used_at.checked_add(self.limits.idle_for);
        // What the clock cannot tell is never.
        *look_at = idle_at.unwrap_or_else(|| now + NEVER);
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K>> {
        // What of others can panic under the lock is the hash, the comparison or the copy of a key.
        // The worst that comes of it is a key that is not found.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
