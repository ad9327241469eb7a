use std::{
    fmt, mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tower_service::Service;

use crate::{
    BoxError, Handle, Lanes, Limits, Name, OneLane, TooHeavy, Weigh, WeighsOne, Worker,
    callers::Callers, response::ResponseFuture, shared::Shared,
};

/// A service that takes single requests and sends them in batches.
///
/// Clones send into the same batches. When the last one goes, all that was accepted is sent and
/// answered, and the [`Worker`] ends.
pub struct Batch<Req, Resp, L: Lanes<Req> = OneLane, W = WeighsOne> {
    callers: Arc<Callers<Req, Resp, L::Lane>>,
    lanes: L,
    weigh: W,
    readiness: Readiness,
}

enum Readiness {
    Unknown,
    /// In line for a place.
    Waiting(
        Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync>>,
    ),
    /// It has a place.
    Ready,
}

impl<Req, Resp> Batch<Req, Resp> {
    /// A service over `inner`, and the worker that sends its batches, to be spawned. Layers do both.
    /// Where there is a linger the worker must run in a tokio runtime whose time is enabled.
    pub fn pair<S, E>(inner: S, limits: Limits) -> (Self, Worker<S, Req, Resp, ()>)
    where
        S: Service<Vec<Req>, Response = Vec<Result<Resp, E>>>,
    {
        Self::pair_with(inner, limits, OneLane, WeighsOne, None)
    }
}

impl<Req, Resp, L: Lanes<Req>, W> Batch<Req, Resp, L, W> {
    pub(crate) fn pair_with<S>(
        inner: S,
        limits: Limits,
        lanes: L,
        weigh: W,
        name: Option<Name>,
    ) -> (Self, Worker<S, Req, Resp, L::Lane>)
    where
        S: Service<Vec<Req>>,
    {
        let shared = Arc::new(Shared::new(limits, Instant::now));
        let places = Arc::new(Semaphore::new(limits.waiting));
        let worker = Worker::new(
            inner,
            Arc::clone(&shared),
            Arc::clone(&places),
            limits.batches,
            name.clone(),
        );
        let callers = Callers {
            shared,
            places,
            services: AtomicUsize::new(1),
            limits,
            name,
        };
        let batch = Self {
            callers: Arc::new(callers),
            lanes,
            weigh,
            readiness: Readiness::Unknown,
        };
        (batch, worker)
    }

    /// To flush, shut down and look at it.
    pub fn handle(&self) -> Handle
    where
        Req: Send + 'static,
        Resp: Send + 'static,
    {
        Handle::new(
            Arc::clone(&self.callers.shared),
            Arc::clone(&self.callers.places),
            self.callers.name.clone(),
        )
    }
}

impl<Req, Resp, L, W> Service<Req> for Batch<Req, Resp, L, W>
where
    L: Lanes<Req>,
    W: Weigh<Req>,
{
    type Response = Resp;
    type Error = BoxError;
    type Future = ResponseFuture<Req, Resp, L::Lane>;

    /// Waits for a place among those that wait to be sent. An error says that it was shut down, or
    /// that the inner service can never be called again.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let permit = match &mut self.readiness {
            Readiness::Ready if !self.callers.places.is_closed() => return Poll::Ready(Ok(())),
            Readiness::Ready => return Poll::Ready(Err(self.callers.refusal())),
            Readiness::Unknown => match self.callers.places.try_acquire() {
                Ok(permit) => {
                    permit.forget();
                    self.readiness = Readiness::Ready;
                    return Poll::Ready(Ok(()));
                }
                Err(_) => {
                    let mut waiting = Box::pin(Arc::clone(&self.callers.places).acquire_owned());
                    let permit = waiting.as_mut().poll(cx);
                    if permit.is_pending() {
                        self.readiness = Readiness::Waiting(waiting);
                    }
                    ready!(permit)
                }
            },
            Readiness::Waiting(waiting) => ready!(waiting.as_mut().poll(cx)),
        };
        self.readiness = Readiness::Unknown;
        let Ok(permit) = permit else {
            return Poll::Ready(Err(self.callers.refusal()));
        };
        permit.forget();
        self.readiness = Readiness::Ready;
        Poll::Ready(Ok(()))
    }

    /// # Panics
    /// If the service is not ready.
    fn call(&mut self, request: Req) -> Self::Future {
        assert!(
            matches!(self.readiness, Readiness::Ready),
            "poll_ready must be called first"
        );
        let weight = self.weigh.weight(&request);
        let lane = self.lanes.lane(&request);
        let limit = self.callers.limits.weight;
        if weight > limit {
            self.give_back();
            return ResponseFuture::refused(TooHeavy::new(weight, limit).into());
        }
        self.readiness = Readiness::Unknown;
        ResponseFuture::reserved(Arc::clone(&self.callers), request, weight, lane)
    }
}

impl<Req, Resp, L: Lanes<Req>, W> Batch<Req, Resp, L, W> {
    fn give_back(&mut self) {
        if let Readiness::Ready = mem::replace(&mut self.readiness, Readiness::Unknown) {
            self.callers.places.add_permits(1);
        }
    }
}

/// A clone is not ready: the place is that of one call.
impl<Req, Resp, L: Lanes<Req> + Clone, W: Clone> Clone for Batch<Req, Resp, L, W> {
    fn clone(&self) -> Self {
        self.callers.services.fetch_add(1, Ordering::Relaxed);
        Self {
            callers: Arc::clone(&self.callers),
            lanes: self.lanes.clone(),
            weigh: self.weigh.clone(),
            readiness: Readiness::Unknown,
        }
    }
}

impl<Req, Resp, L: Lanes<Req>, W> Drop for Batch<Req, Resp, L, W> {
    fn drop(&mut self) {
        self.give_back();
        if self.callers.services.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.callers.shared.drain();
        }
    }
}

impl<Req, Resp, L: Lanes<Req>, W> fmt::Debug for Batch<Req, Resp, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = match self.readiness {
            Readiness::Unknown => "Unknown",
            Readiness::Waiting(_) => "Waiting",
            Readiness::Ready => "Ready",
        };
        f.debug_struct("Batch")
            .field("limits", &self.callers.limits)
            .field("readiness", &readiness)
            .finish_non_exhaustive()
    }
}
