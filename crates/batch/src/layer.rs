use std::{fmt, marker::PhantomData};

use tower_layer::Layer;
use tower_service::Service;

use crate::{Batch, BoxError, Lanes, Limits, Name, OneLane, Weigh, WeighsOne};

/// Puts a service that takes batches behind one that takes single requests: a [`Batch`].
///
/// It spawns the [`Worker`](crate::Worker), and so must be used within a tokio runtime, one with
/// time; [`Batch::pair`] leaves that to you.
pub struct BatchLayer<Req, L = OneLane, W = WeighsOne> {
    limits: Limits,
    lanes: L,
    weigh: W,
    name: Option<Name>,
    request: PhantomData<fn(Req)>,
}

impl<Req> BatchLayer<Req> {
    /// Batches within these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: OneLane,
            weigh: WeighsOne,
            name: None,
            request: PhantomData,
        }
    }
}

impl<Req, L, W> BatchLayer<Req, L, W> {
    /// Only requests of one lane share a batch. By default all may.
    pub fn with_lanes<M: Lanes<Req>>(self, lanes: M) -> BatchLayer<Req, M, W> {
        BatchLayer {
            limits: self.limits,
            lanes,
            weigh: self.weigh,
            name: self.name,
            request: PhantomData,
        }
    }

    /// How heavy a request is, for [`Limits::with_weight`]. By default each weighs one.
    pub fn with_weigh<V: Weigh<Req>>(self, weigh: V) -> BatchLayer<Req, L, V> {
        BatchLayer {
            limits: self.limits,
            lanes: self.lanes,
            weigh,
            name: self.name,
            request: PhantomData,
        }
    }

    /// A name, for its events.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<S, Req, Resp, E, L, W> Layer<S> for BatchLayer<Req, L, W>
where
    S: Service<Vec<Req>, Response = Vec<Result<Resp, E>>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    E: Into<BoxError> + 'static,
    L: Lanes<Req> + Clone,
    W: Weigh<Req> + Clone,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    type Service = Batch<Req, Resp, L, W>;

    /// # Panics
    /// Outside of a tokio runtime, or in one whose time is not enabled.
    fn layer(&self, inner: S) -> Self::Service {
        let (batch, worker) = Batch::pair_with(
            inner,
            self.limits,
            self.lanes.clone(),
            self.weigh.clone(),
            self.name.clone(),
        );
        worker.spawn();
        batch
    }
}

impl<Req, L: Clone, W: Clone> Clone for BatchLayer<Req, L, W> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits,
            lanes: self.lanes.clone(),
            weigh: self.weigh.clone(),
            name: self.name.clone(),
            request: PhantomData,
        }
    }
}

impl<Req, L, W> fmt::Debug for BatchLayer<Req, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLayer")
            .field("limits", &self.limits)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
