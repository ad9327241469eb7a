use std::{
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    Concurrency, ItemError, Panicked, Progress, ProgressSnapshot,
    chunks::Chunks,
    collect::{Collect, TryCollect},
    function::Function,
    items::{Items, OkItems},
    outbox::Outbox,
    slots::{Ended, Slots},
    spawned::{Spawned, SpawnedFuture},
};

/// After so many items in a row the task yields, so that a map whose items are always ready leaves
/// the others of its thread their turn.
const YIELD_AFTER: u32 = 128;

/// Works on the items of an iterator, so many at once, through a closure.
///
/// What comes is a [`Map`]: a stream of results, or a `Vec` of them by [`Map::collect`].
pub fn map_concurrent<I, F, Fut, R, E>(
    items: I,
    concurrency: Concurrency,
    f: F,
) -> Map<Items<I::IntoIter, E>, Function<F>, Fut, Result<R, ItemError<E>>>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    Map::new(Items::new(items.into_iter()), concurrency, Function::new(f))
}

/// Works on the items of an iterator in chunks of `size`, so many chunks at once, through a closure.
///
/// A chunk is an item of the [`Map`], with one result: where each item has one, that is a `Vec` of
/// them. No chunk is empty, and the last may be shorter. A chunk is pulled as a whole when there is
/// room for it, so that `size` times `concurrency` items are pulled ahead at most. Of streams,
/// `map_stream(stream.chunks(size), ..)` does so with futures' `chunks`.
///
/// ```
/// # use mainstay_batch::{Concurrency, map_chunks};
/// # use std::{convert::Infallible, num::NonZeroUsize};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// const HUNDRED: NonZeroUsize = NonZeroUsize::new(100).unwrap();
/// let sums = map_chunks(1..=250, HUNDRED, Concurrency::new(4)?, async |chunk| {
///     Ok::<u32, Infallible>(chunk.iter().sum())
/// });
/// assert_eq!(sums.try_collect().await?, [5_050, 15_050, 11_275]);
/// # Ok(()) }
/// ```
pub fn map_chunks<I, F, Fut, R, E>(
    items: I,
    size: NonZeroUsize,
    concurrency: Concurrency,
    f: F,
) -> Map<Items<Chunks<I::IntoIter>, E>, Function<F>, Fut, Result<R, ItemError<E>>>
where
    I: IntoIterator,
    F: FnMut(Vec<I::Item>) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    map_concurrent(Chunks::new(items.into_iter(), size), concurrency, f)
}

/// Works on the items of an iterator, so many at once, through a service.
///
/// An item is pulled first, and then the service is asked whether it is ready. If it can never be
/// again, its error is the result of that item, and the last one.
pub fn map_service<I, S, E>(
    items: I,
    concurrency: Concurrency,
    service: S,
) -> Map<Items<I::IntoIter, E>, S, S::Future, Result<S::Response, ItemError<E>>>
where
    I: IntoIterator,
    S: Service<I::Item, Error = E>,
{
    Map::new(Items::new(items.into_iter()), concurrency, service)
}

/// Works on the items of a stream, so many at once, through a closure.
pub fn map_stream<St, F, Fut, R, E>(
    stream: St,
    concurrency: Concurrency,
    f: F,
) -> Map<OkItems<St, E>, Function<F>, Fut, Result<R, ItemError<E>>>
where
    St: Stream,
    F: FnMut(St::Item) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    Map::new(OkItems::new(stream), concurrency, Function::new(f))
}

pin_project! {
    /// The results of items that are worked on, a bounded number at once.
    ///
    /// A stream with a [`Result`] for each item, in their order. Nothing happens unless it is polled,
    /// and as many items are pulled from the source as are being worked on: in order, those count
    /// too whose results wait for an earlier one. Items that are errors already pass through.
    ///
    /// When it is dropped all that it works on is dropped with it. What one item panics with is the
    /// result of that item; a panic of the source goes on.
    pub struct Map<St: Stream, S, F, Out> {
        #[pin]
        source: Source<St>,
        service: S,
        work: Work<F, Out>,
    }
}

pin_project! {
    struct Source<St: Stream> {
        #[pin]
        stream: St,
        // Pulled, and waits for the service to be ready.
        next: Option<St::Item>,
        is_over: bool,
    }
}

struct Work<F, Out> {
    slots: Slots<F>,
    /// The number of the item in each slot.
    numbers: Vec<u64>,
    outbox: Outbox<Out>,
    limit: usize,
    budget: u32,
    tally: Tally,
}

/// Our own copy of the numbers that the progress shows.
#[derive(Default)]
struct Tally {
    counts: ProgressSnapshot,
    progress: Progress,
}

impl<St: Stream, S, F, Out> Map<St, S, F, Out> {
    pub(crate) fn new(stream: St, concurrency: Concurrency, service: S) -> Self {
        Self {
            source: Source {
                stream,
                next: None,
                is_over: false,
            },
            service,
            work: Work {
                slots: Slots::new(concurrency.get()),
                numbers: Vec::new(),
                outbox: Outbox::new(),
                limit: concurrency.get(),
                budget: YIELD_AFTER,
                tally: Tally::default(),
            },
        }
    }

    /// Results as they come, and not in the order of the items.
    ///
    /// # Panics
    /// If it has been polled.
    #[must_use]
    pub fn unordered(mut self) -> Self {
        self.work.outbox.unorder();
        self
    }

    /// Each item is worked on in a task of its own, so that they spread over the threads of the
    /// runtime and go on while nobody polls the map. A task is aborted when the map is dropped.
    ///
    /// Outside of a tokio runtime, or in one that shuts down, that is what items panic with: their
    /// results say so.
    ///
    /// # Panics
    /// If it has been polled.
    #[must_use]
    pub fn spawned(self) -> Map<St, Spawned<S>, SpawnedFuture<F::Output>, Out>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        assert!(self.work.slots.running() == 0, "nothing has been pulled");
        let Self {
            source,
            service,
            work,
        } = self;
        Map {
            source,
            service: Spawned::new(service),
            work: Work {
                slots: Slots::new(work.limit),
                numbers: work.numbers,
                outbox: work.outbox,
                limit: work.limit,
                budget: work.budget,
                tally: work.tally,
            },
        }
    }

    /// Where to see how far it is, also later.
    pub fn progress(&self) -> Progress {
        self.work.tally.progress.clone()
    }

    /// All results, in the order of the items, whether they succeeded or failed. An item is not kept
    /// from starting by an earlier one that takes long.
    ///
    /// # Panics
    /// If it has been polled.
    pub fn collect(self) -> Collect<St, S, F, Out> {
        Collect::new(self.unordered())
    }

    /// All values in the order of the items, or the first error that comes: then the work on all
    /// others is dropped.
    ///
    /// # Panics
    /// If it has been polled.
    pub fn try_collect<R>(self) -> TryCollect<St, S, F, Out, R> {
        TryCollect::new(self.unordered())
    }
}

impl<St, S, T, E> Map<St, S, S::Future, Result<S::Response, ItemError<E>>>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
    S: Service<T, Error = E>,
{
    /// The next result, and the number of its item.
    pub(crate) fn poll_numbered(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(u64, Result<S::Response, ItemError<E>>)>> {
        let this = self.project();
        let (mut source, service, work) = (this.source, this.service, this.work);
        work.slots.awake();
        if let Some(result) = work.outbox.take() {
            return Poll::Ready(Some(result));
        }
        loop {
            let ended = if work.budget == 0 {
                break cx.waker().wake_by_ref();
            } else if work.has_room()
                && let Poll::Ready(Some(item)) = source.as_mut().poll_item(service, cx)
            {
                work.start(item, service)
            } else if let Some((slot, polled)) = work.slots.poll_next() {
                work.polled_slot(slot, polled)
            } else if *source.as_mut().project().is_over && work.slots.running() == 0 {
                work.show_progress();
                return Poll::Ready(None);
            } else if work.slots.sleep(cx.waker()) {
                break;
            } else {
                None
            };
            if ended.is_some() {
                work.show_progress();
                return Poll::Ready(ended);
            }
        }
        work.show_progress();
        work.budget = YIELD_AFTER;
        Poll::Pending
    }
}

impl<St, S, T, E> Stream for Map<St, S, S::Future, Result<S::Response, ItemError<E>>>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
    S: Service<T, Error = E>,
{
    type Item = Result<S::Response, ItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let result = ready!(self.poll_numbered(cx));
        Poll::Ready(result.map(|(_, result)| result))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let Source {
            stream,
            next,
            is_over,
        } = &self.source;
        let here = self.work.outbox.len().max(self.work.slots.running());
        let here = here + usize::from(next.is_some());
        if *is_over {
            return (here, Some(here));
        }
        // A service that breaks ends it early.
        let most = stream.size_hint().1.and_then(|it| it.checked_add(here));
        (here, most)
    }
}

impl<St, T, E> Source<St>
where
    St: Stream<Item = Result<T, ItemError<E>>>,
{
    /// Pulls the next item, and waits for the service to be ready for it.
    #[inline]
    fn poll_item<S: Service<T, Error = E>>(
        self: Pin<&mut Self>,
        service: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T, ItemError<E>>>> {
        let this = self.project();
        let item = match this.next.take() {
            None if *this.is_over => return Poll::Ready(None),
            None => ready!(this.stream.poll_next(cx)),
            item => item,
        };
        match item {
            None => {
                *this.is_over = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            item => match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(item),
                Poll::Ready(Err(error)) => {
                    *this.is_over = true;
                    Poll::Ready(Some(Err(ItemError::Failed(error))))
                }
                Poll::Pending => {
                    *this.next = item;
                    Poll::Pending
                }
            },
        }
    }
}

impl<F, R, E> Work<F, Result<R, ItemError<E>>>
where
    F: Future<Output = Result<R, E>>,
{
    #[inline]
    fn has_room(&self) -> bool {
        self.outbox.len() < self.limit && !self.slots.is_full()
    }

    /// Starts on an item. What ends, and has its turn, is given back with its number.
    #[inline]
    fn start<T, S>(
        &mut self,
        item: Result<T, ItemError<E>>,
        service: &mut S,
    ) -> Option<(u64, Result<R, ItemError<E>>)>
    where
        S: Service<T, Response = R, Error = E, Future = F>,
    {
        let number = self.outbox.pulled();
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                self.budget -= 1;
                return self.ended(number, Err(error));
            }
        };
        let (slot, polled) = self.slots.start(|| service.call(item));
        if polled.is_pending() {
            if slot >= self.numbers.len() {
                self.numbers.resize(slot + 1, 0);
            }
            self.numbers[slot] = number;
        }
        self.polled(number, polled)
    }

    /// A slot was woken. It may be free, and then has no number: what ended as it was first polled
    /// may have been woken, too.
    #[inline]
    fn polled_slot(
        &mut self,
        slot: usize,
        polled: Poll<Ended<Result<R, E>>>,
    ) -> Option<(u64, Result<R, ItemError<E>>)> {
        let number = self.numbers.get(slot).copied().unwrap_or_default();
        self.polled(number, polled)
    }

    #[inline]
    fn polled(
        &mut self,
        number: u64,
        polled: Poll<Ended<Result<R, E>>>,
    ) -> Option<(u64, Result<R, ItemError<E>>)> {
        self.budget -= 1;
        match polled {
            Poll::Ready(ended) => self.ended(number, result_of(ended)),
            Poll::Pending => None,
        }
    }

    #[inline]
    fn ended(
        &mut self,
        number: u64,
        result: Result<R, ItemError<E>>,
    ) -> Option<(u64, Result<R, ItemError<E>>)> {
        let counts = &mut self.tally.counts;
        match result {
            Ok(_) => counts.done += 1,
            Err(_) => counts.failed += 1,
        }
        let result = self.outbox.put(number, result)?;
        Some((number, result))
    }

    #[inline]
    fn show_progress(&mut self) {
        self.tally.counts.in_flight = self.slots.running() as u64;
        self.tally.progress.set(self.tally.counts);
    }
}

#[inline]
fn result_of<R, E>(ended: Ended<Result<R, E>>) -> Result<R, ItemError<E>> {
    match ended {
        Ok(result) => result.map_err(ItemError::Failed),
        Err(panic) => Err(ItemError::Panicked(Panicked::new(&*panic))),
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.counts.in_flight = 0;
        self.progress.set(self.counts);
    }
}

impl<St: Stream + fmt::Debug, S: fmt::Debug, F, Out> fmt::Debug for Map<St, S, F, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("stream", &self.source.stream)
            .field("service", &self.service)
            .field("progress", &self.work.tally.progress)
            .finish_non_exhaustive()
    }
}
