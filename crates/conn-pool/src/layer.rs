use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tower_layer::Layer;
use tower_service::Service;

use crate::backoff::Backoff;
use crate::book::Book;
use crate::connection::Connection;
use crate::desk::Desk;
use crate::guards::Attendance;
use crate::housekeeper::Housekeeper;
use crate::lanes::Lanes;
use crate::lending::{Lending, Shared, Whole};
use crate::limits::{Counts, KeyedLimits, Limits};
use crate::pool::Pool;
use crate::times::Times;

/// Makes a [`Pool`] of a connector: a service that answers a target with a connection.
///
/// Each connection is made by a clone of the connector, in a task of its own.
///
/// # Panics
/// [`layer`](Layer::layer) panics outside a tokio runtime; the pool lives in that runtime, and is
/// closed when it ends.
#[must_use]
pub struct PoolLayer<K = (), L = Whole, B = fn() -> Backoff> {
    counts: Counts,
    max_leases: NonZeroU32,
    times: Times,
    backoff: B,
    name: Option<Arc<str>>,
    /// The one target, if there is only one.
    only: Option<fn() -> K>,
    lending: PhantomData<fn() -> L>,
}

impl PoolLayer {
    /// For one target, which the connector knows: it is called with `()`.
    pub fn new(limits: Limits) -> Self {
        Self::with_counts(limits.counts(), Some(|| ()))
    }
}

impl<K> PoolLayer<K> {
    /// For many targets, told apart by what the connector is called with.
    ///
    /// First come is first served among those who wait for one target. Over all targets it is so too:
    /// when there are as many connections as there may be, a place goes to who waits for the longest;
    /// an idle connection of another target is closed for it, or the next that comes back. For who has
    /// waited for 100 ms the least loaded of those [shared](Self::shared) is lent no more, and drains.
    ///
    /// `Hash` and `Eq` of a target are called while other targets wait: they must not use the pool.
    pub fn keyed(limits: KeyedLimits) -> Self {
        Self::with_counts(limits.counts(), None)
    }

    fn with_counts(counts: Counts, only: Option<fn() -> K>) -> Self {
        Self {
            counts,
            max_leases: NonZeroU32::MIN,
            times: Times::new(),
            backoff: Backoff::default,
            name: None,
            only,
            lending: PhantomData,
        }
    }
}

impl<K, L, B> PoolLayer<K, L, B> {
    /// Lends each connection to up to `max_leases` callers at a time, the least loaded first; or to
    /// fewer, if [it says so](Connection::max_leases).
    pub fn shared(self, max_leases: NonZeroU32) -> PoolLayer<K, Shared, B> {
        PoolLayer {
            counts: self.counts,
            max_leases,
            times: self.times,
            backoff: self.backoff,
            name: self.name,
            only: self.only,
            lending: PhantomData,
        }
    }

    /// How long things take.
    pub fn with_times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Delays between tries to connect while these fail; anew once a connection has served a lease well
    /// or has lived for a second. When they come to an end the last is repeated;
    /// if there was none, it is a second.
    pub fn with_backoff<F, I>(self, backoff: F) -> PoolLayer<K, L, F>
    where
        F: Fn() -> I,
        I: Iterator<Item = Duration>,
    {
        PoolLayer {
            counts: self.counts,
            max_leases: self.max_leases,
            times: self.times,
            backoff,
            name: self.name,
            only: self.only,
            lending: PhantomData,
        }
    }

    /// A name for its events and refusals.
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<M, K, L, B, I> Layer<M> for PoolLayer<K, L, B>
where
    M: Service<K> + Clone + Send + 'static,
    M::Response: Connection,
    M::Error: Into<Box<dyn Error + Send + Sync>>,
    M::Future: Send,
    K: Hash + Eq + Clone + Send + Sync + 'static,
    L: Lending<M::Response>,
    B: Fn() -> I + Clone + Send + 'static,
    I: Iterator<Item = Duration> + Send + 'static,
{
    type Service = Pool<M::Response, K, L>;

    fn layer(&self, connector: M) -> Self::Service {
        let max_leases = self.max_leases.get();
        let book = Book::new(self.name.clone(), self.counts, max_leases, self.times);
        let desk = Arc::new(Desk::new(book));
        let lanes = Arc::new(match self.only {
            Some(only) => Lanes::One(Arc::new(only())),
            None => Lanes::many(),
        });
        let housekeeper = Housekeeper {
            desk: desk.clone(),
            lanes: lanes.clone(),
            connector,
            backoff: self.backoff.clone(),
            delays: HashMap::new(),
            times: self.times,
            name: self.name.clone(),
            connecting: JoinSet::new(),
            _attendance: Attendance {
                desk: desk.clone(),
                name: self.name.clone(),
            },
        };
        tokio::spawn(housekeeper.run::<L>());
        Pool::new(desk, lanes, self.name.clone())
    }
}

impl<K, L, B: Clone> Clone for PoolLayer<K, L, B> {
    fn clone(&self) -> Self {
        Self {
            counts: self.counts,
            max_leases: self.max_leases,
            times: self.times,
            backoff: self.backoff.clone(),
            name: self.name.clone(),
            only: self.only,
            lending: PhantomData,
        }
    }
}

impl<K, L, B> fmt::Debug for PoolLayer<K, L, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLayer")
            .field("counts", &self.counts)
            .field("max_leases", &self.max_leases)
            .field("times", &self.times)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
