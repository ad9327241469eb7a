use std::{
    any::Any,
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep_until},
};
use tower_service::Service;
use tracing::{Instrument, instrument::Instrumented};

use crate::{
    BoxError, Name, Panicked,
    error::{BatchFailed, WrongLength},
    event,
    forming::Batch,
    parcel::{Answers, Parcel},
    shared::{Next, Shared},
    slots::{Ended, Slots},
};

/// After so many items, or other steps, the worker yields: those who were answered have their turn
/// before more are woken. Callers then wait in the line of the batcher, which is served in order, and not
/// in those of the runtime, where who was woken last can be the first.
const YIELD_AFTER: usize = 64;

/// What sends the batches of a [`Batch`](crate::Batch): a future to be spawned.
///
/// It ends when the batcher was shut down or all its services are gone, and all is answered. If it
/// is dropped before, what is not answered is answered with [`Closed`](crate::Closed).
pub struct Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>>,
    K: Hash + Eq + Clone,
{
    service: S,
    /// The service was driven to be ready, and not called since.
    is_ready: bool,
    shared: Arc<Shared<Req, Resp, K>>,
    places: Arc<Semaphore>,
    slots: Slots<Instrumented<S::Future>>,
    /// What is with the service, by slots.
    running: Vec<Option<Running<Resp, K>>>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Others had their turn since the last batch was sent.
    has_yielded: bool,
    name: Option<Name>,
}

/// A batch that was sent.
struct Running<Resp, K> {
    parcel: Arc<Parcel<Resp>>,
    lane: Option<K>,
    seats: Option<Box<[usize]>>,
    width: usize,
    items: usize,
}

impl<S, Req, Resp, K> Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>>,
    K: Hash + Eq + Clone,
{
    pub(crate) fn new(
        service: S,
        shared: Arc<Shared<Req, Resp, K>>,
        places: Arc<Semaphore>,
        batches: usize,
        name: Option<Name>,
    ) -> Self {
        Self {
            service,
            is_ready: false,
            shared,
            places,
            slots: Slots::new(batches),
            running: Vec::new(),
            timer: None,
            has_yielded: false,
            name,
        }
    }

    /// Spawns it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without time: better now than at the first linger.
    pub(crate) fn spawn(self)
    where
        Self: Future<Output = ()> + Send + 'static,
    {
        drop(sleep_until(Instant::now()));
        tokio::spawn(self);
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Answers everything that is left, and accepts nothing more.
    fn stop(&mut self) {
        self.places.close();
        let mut abandoned = 0;
        for slot in 0..self.running.len() {
            if let Some(running) = self.running[slot].take() {
                self.slots.cancel(slot);
                abandoned += running.items;
                self.answer(&running, Answers::Closed);
            }
        }
        if let Some(waited) = self.shared.end() {
            event::ended(self.name(), abandoned + waited);
        }
    }

    /// Drops the batches that nobody waits for any more.
    fn cancel_abandoned(&mut self) {
        for slot in 0..self.running.len() {
            let running = self.running[slot].take_if(|it| Arc::strong_count(&it.parcel) == 1);
            if let Some(running) = running {
                self.slots.cancel(slot);
                self.answer(&running, Answers::Closed);
            }
        }
    }

    fn answer(&self, batch: &Running<Resp, K>, answers: Answers<Resp>) {
        let Running {
            parcel,
            items,
            lane,
            ..
        } = batch;
        self.shared.answer(parcel, (*items, lane.as_ref()), answers);
    }
}

impl<S, Req, Resp, E, K> Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>, Response = Vec<Result<Resp, E>>>,
    S::Error: Into<BoxError>,
    E: Into<BoxError>,
    K: Hash + Eq + Clone,
{
    /// Sends a batch, if the service is ready, and says of how many items.
    fn poll_send(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<usize> {
        let ready = if self.is_ready {
            Ok(Ok(()))
        } else {
            let polled = catch_unwind(AssertUnwindSafe(|| self.service.poll_ready(cx)));
            match polled {
                Ok(polled) => Ok(ready!(polled)),
                Err(panic) => Err(panic),
            }
        };
        if let Ok(Err(error)) = ready {
            self.broken(error.into());
            return Poll::Ready(0);
        }
        self.is_ready = ready.is_ok();
        self.has_yielded = false;
        // It may have been withdrawn meanwhile.
        let Some(batch) = self.shared.take(now) else {
            return Poll::Ready(0);
        };
        self.places.add_permits(batch.items());
        let items = batch.items();
        let Batch {
            parcel,
            lane,
            requests,
            spans,
            seats,
            width,
        } = batch;
        let running = Running {
            parcel,
            lane,
            seats,
            width,
            items,
        };
        let span = event::batch(self.name(), items, spans.iter().map(|it| &it.1));
        drop(spans);
        if let Err(panic) = ready {
            self.settle(running, Err(panic));
            return Poll::Ready(items);
        }
        self.is_ready = false;
        let service = &mut self.service;
        let call = || {
            let future = span.in_scope(|| service.call(requests));
            future.instrument(span)
        };
        match self.slots.start(call) {
            (_, Poll::Ready(ended)) => self.settle(running, ended),
            (slot, Poll::Pending) => {
                if slot >= self.running.len() {
                    self.running.resize_with(slot + 1, || None);
                }
                self.running[slot] = Some(running);
            }
        }
        Poll::Ready(items)
    }

    /// A batch has ended.
    fn settle(&self, batch: Running<Resp, K>, ended: Ended<Result<S::Response, S::Error>>) {
        let answers = catch_unwind(AssertUnwindSafe(|| match ended {
            Ok(Ok(answers)) => batch.seat(answers),
            Ok(Err(error)) => Answers::Failed(BatchFailed::new(error.into())),
            Err(panic) => panicked(&*panic),
        }));
        let answers = answers.unwrap_or_else(|panic| panicked(&*panic));
        if let Answers::Failed(failed) = &answers {
            event::failed(self.name(), batch.items, failed);
        }
        self.answer(&batch, answers);
        // Where all callers have gone this drops the answers, and one may panic: nobody is left to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(batch)));
    }

    fn broken(&self, error: BoxError) {
        let failed = BatchFailed::new(error);
        event::broken(self.name(), &failed);
        self.shared.fail(&failed);
        self.places.close();
    }
}

impl<Resp, K> Running<Resp, K> {
    /// Gives each answer to the seat of its request.
    fn seat<E: Into<BoxError>>(&self, answers: Vec<Result<Resp, E>>) -> Answers<Resp> {
        if answers.len() != self.items {
            let wrong = WrongLength::new(self.items, answers.len());
            return Answers::Failed(BatchFailed::new(wrong.into()));
        }
        let answers = answers.into_iter().map(|it| it.map_err(Into::into));
        let Some(seats) = &self.seats else {
            return Answers::each(answers.map(Some));
        };
        let mut seated: Vec<_> = (0..self.width).map(|_| None).collect();
        for (seat, answer) in seats.iter().zip(answers) {
            seated[*seat] = Some(answer);
        }
        Answers::each(seated)
    }
}

fn panicked<Resp>(panic: &(dyn Any + Send)) -> Answers<Resp> {
    Answers::Failed(BatchFailed::panicked(Panicked::new(panic)))
}

impl<S, Req, Resp, E, K> Future for Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>, Response = Vec<Result<Resp, E>>>,
    S::Error: Into<BoxError>,
    E: Into<BoxError>,
    K: Hash + Eq + Clone,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.slots.awake();
        let mut budget = YIELD_AFTER;
        while budget > 0 {
            budget -= 1;
            // What has ended makes room.
            if let Some((slot, polled)) = this.slots.poll_next() {
                if let Poll::Ready(ended) = polled
                    && let Some(running) = this.running[slot].take()
                {
                    budget = budget.saturating_sub(running.items);
                    this.settle(running, ended);
                }
                continue;
            }
            let now = Instant::now();
            let can_send = !this.slots.is_full();
            let has_yielded = this.has_yielded;
            let is_asleep = match this.shared.next(now, can_send, has_yielded, cx.waker()) {
                Next::Stop => {
                    this.stop();
                    return Poll::Ready(());
                }
                Next::Cancel => {
                    this.cancel_abandoned();
                    false
                }
                Next::Yield => {
                    this.has_yielded = true;
                    break;
                }
                Next::Send => match this.poll_send(now, cx) {
                    Poll::Ready(items) => {
                        budget = budget.saturating_sub(items);
                        false
                    }
                    Poll::Pending => true,
                },
                Next::Sleep => {
                    this.has_yielded = false;
                    true
                }
                Next::SleepUntil(until) => {
                    let timer = this
                        .timer
                        .get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if timer.deadline() != until {
                        timer.as_mut().reset(until);
                    }
                    timer.as_mut().poll(cx).is_pending()
                }
            };
            if is_asleep && this.slots.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Service and futures are never pinned here: the futures have boxes of their own.
impl<S, Req, Resp, K> Unpin for Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>>,
    K: Hash + Eq + Clone,
{
}

impl<S, Req, Resp, K> Drop for Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>>,
    K: Hash + Eq + Clone,
{
    fn drop(&mut self) {
        self.stop();
    }
}

impl<S, Req, Resp, K> fmt::Debug for Worker<S, Req, Resp, K>
where
    S: Service<Vec<Req>>,
    K: Hash + Eq + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.iter().flatten();
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("batches", &running.count())
            .finish_non_exhaustive()
    }
}
