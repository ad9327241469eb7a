use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    mem,
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tower_service::Service;

use crate::{
    Batch, BoxError, Handle, Limits, LoadFailed, OneLane, WeighsOne,
    flight::{Flight, Found},
    load_many::LoadMany,
    memory::Memory,
};

/// How many primed values are kept unless told otherwise.
const PRIMED: usize = 1_000;

/// Loads values by their keys, many keys at once, and each key once at a time.
///
/// The service behind it answers a batch of keys with a result for each, in their order: the value,
/// `None` if there is none, or an error. No batch has a key twice, and none has more than
/// [`Limits`] allow. Who asks for a key that is already waiting or being loaded gets that answer.
///
/// By default nothing is remembered but what was primed, up to 1,000 values.
pub struct Loader<K, V> {
    batch: Batch<K, Option<V>>,
    shared: Arc<Shared<K, V>>,
    remembers: bool,
}

struct Shared<K, V> {
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    /// The flights that a load may join. One that was cleared is not here any more.
    flights: HashMap<K, Weak<Flight<K, V>>>,
    memory: Memory<K, Arc<Option<V>>>,
}

/// A value that is loaded, or at hand.
pub struct Load<K: Hash + Eq + Clone, V> {
    state: LoadState<K, V>,
}

enum LoadState<K: Hash + Eq + Clone, V> {
    AtHand(Arc<Option<V>>),
    Flying(Waiter<K, V>),
    Done,
}

/// One of those who wait for a flight.
struct Waiter<K: Hash + Eq + Clone, V> {
    shared: Arc<Shared<K, V>>,
    key: K,
    remembers: bool,
    flight: Arc<Flight<K, V>>,
    number: usize,
}

impl<K, V> Loader<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Loads through `service`, and spawns what sends its batches.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one whose time is not enabled.
    pub fn new<S, E>(service: S, limits: Limits) -> Self
    where
        S: Service<Vec<K>, Response = Vec<Result<Option<V>, E>>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        E: Into<BoxError> + 'static,
    {
        let (batch, worker) = Batch::pair_with(service, limits, OneLane, WeighsOne, None);
        worker.spawn();
        Self::over(batch)
    }

    /// Loads through a batcher.
    #[must_use]
    pub fn over(batch: Batch<K, Option<V>>) -> Self {
        Self {
            batch,
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    flights: HashMap::new(),
                    memory: Memory::new(PRIMED),
                }),
            }),
            remembers: false,
        }
    }

    /// Remembers what it has loaded, also that there is none, but no errors: so many keys, the one
    /// that came first goes first. For how long is for [`clear`](Self::clear) to say; clones made
    /// before remember apart.
    #[must_use]
    pub fn with_memory(mut self, values: NonZeroUsize) -> Self {
        let memory = Memory::new(values.get());
        self.shared = Arc::new(Shared {
            state: Mutex::new(State {
                flights: HashMap::new(),
                memory,
            }),
        });
        self.remembers = true;
        self
    }

    /// The value of a key. The batch is sent when the future has been polled.
    pub fn load(&self, key: K) -> Load<K, V> {
        let mut state = self.shared.state.lock();
        if let Some(value) = state.memory.get(&key) {
            let state = LoadState::AtHand(Arc::clone(value));
            return Load { state };
        }
        let flying = state.flights.get(&key).and_then(Weak::upgrade);
        let flight = flying.unwrap_or_else(|| {
            let flight = Arc::new(Flight::new(self.batch.clone(), key.clone()));
            state.flights.insert(key.clone(), Arc::downgrade(&flight));
            flight
        });
        let number = flight.waiters.join();
        drop(state);
        let waiter = Waiter {
            shared: Arc::clone(&self.shared),
            key,
            remembers: self.remembers,
            flight,
            number,
        };
        Load {
            state: LoadState::Flying(waiter),
        }
    }

    /// The values of several keys, in their order; a key may come twice.
    pub fn load_many(&self, keys: impl IntoIterator<Item = K>) -> LoadMany<K, V> {
        LoadMany::new(keys.into_iter().map(|key| self.load(key)).collect())
    }

    /// Puts a value in, as if it had been loaded. Loads that are under way do not replace it.
    pub fn prime(&self, key: K, value: V) {
        let mut state = self.shared.state.lock();
        let flight = state.flights.remove(&key);
        let gone = state.memory.insert(key, Arc::new(Some(value)));
        drop(state);
        drop((flight, gone));
    }

    /// Forgets a key: the next load of it is a new one, and joins none that is under way.
    pub fn clear(&self, key: &K) {
        let mut state = self.shared.state.lock();
        let flight = state.flights.remove(key);
        let gone = state.memory.remove(key);
        drop(state);
        drop((flight, gone));
    }

    /// To flush and shut down the batcher, and look at it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.batch.handle()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Waiter<K, V> {
    fn poll(&self, cx: &Context<'_>) -> Poll<Found<V>> {
        if self.flight.found().is_none() && self.flight.poll(self.number, cx) {
            self.land();
        }
        // The one who polls it may have found something while we were told to wait.
        match self.flight.found() {
            Some(found) => Poll::Ready(found.clone()),
            None => Poll::Pending,
        }
    }

    /// The flight has ended: nobody joins it any more.
    fn land(&self) {
        let found = self.flight.found();
        let value = match found {
            Some(Ok(value)) if self.remembers => Some(Arc::new(value.clone())),
            _ => None,
        };
        let mut state = self.shared.state.lock();
        let mut gone = Vec::new();
        if state.leave(&self.key, &self.flight)
            && let Some(value) = value
        {
            gone = state.memory.insert(self.key.clone(), value);
        }
        drop(state);
        drop(gone);
        self.flight.waiters.wake_all();
    }
}

impl<K: Hash + Eq + Clone, V> Waiter<K, V> {
    fn leave(self) {
        let Self {
            shared,
            key,
            flight,
            number,
            ..
        } = self;
        flight.waiters.leave(number);
        drop(flight);
        // After it: of two that leave at once, the later one finds the flight gone.
        shared.state.lock().forget_gone(&key);
    }
}

impl<K: Hash + Eq + Clone, V> State<K, V> {
    /// Forgets a flight that has lost all who waited for it.
    fn forget_gone(&mut self, key: &K) {
        let flight = self.flights.get(key);
        if flight.is_some_and(|it| it.strong_count() == 0) {
            self.flights.remove(key);
        }
    }

    /// Lets nobody join a flight any more. Says whether one could.
    fn leave(&mut self, key: &K, flight: &Arc<Flight<K, V>>) -> bool {
        let current = self.flights.get(key);
        let is_current = current.is_some_and(|it| it.as_ptr() == Arc::as_ptr(flight));
        if is_current {
            self.flights.remove(key);
        }
        is_current
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Future for Load<K, V> {
    type Output = Result<Option<V>, LoadFailed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let found = match &mut self.state {
            LoadState::AtHand(value) => Poll::Ready(Ok((**value).clone())),
            LoadState::Flying(waiter) => waiter.poll(cx),
            LoadState::Done => panic!("polled again after it was ready"),
        };
        if found.is_ready() {
            self.leave();
        }
        found
    }
}

impl<K: Hash + Eq + Clone, V> Load<K, V> {
    fn leave(&mut self) {
        if let LoadState::Flying(waiter) = mem::replace(&mut self.state, LoadState::Done) {
            waiter.leave();
        }
    }
}

impl<K: Hash + Eq + Clone, V> Drop for Load<K, V> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Nothing in it is pinned.
impl<K: Hash + Eq + Clone, V> Unpin for Load<K, V> {}

impl<K: Clone, V> Clone for Loader<K, V> {
    fn clone(&self) -> Self {
        Self {
            batch: self.batch.clone(),
            shared: Arc::clone(&self.shared),
            remembers: self.remembers,
        }
    }
}

impl<K, V> fmt::Debug for Loader<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("batch", &self.batch)
            .field("remembers", &self.remembers)
            .finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone, V> fmt::Debug for Load<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            LoadState::AtHand(_) => "AtHand",
            LoadState::Flying(_) => "Flying",
            LoadState::Done => "Done",
        };
        f.debug_tuple("Load").field(&state).finish()
    }
}
