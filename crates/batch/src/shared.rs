//! Where callers, the worker and handles meet.

use std::{
    hash::Hash,
    mem,
    task::{Context, Poll, Waker},
};

use tokio::time::Instant;

use crate::{
    error::BatchFailed,
    forming::{Batch, Forming, Submitted},
    limits::Limits,
    parcel::{Answers, Parcel},
    queue::{Due, Queue, Ticket},
    sync::Mutex,
};

/// The queue behind a lock, and who waits for what. Wakers and what users made are called and
/// dropped when the lock has been left.
pub(crate) struct Shared<Req, Resp, K> {
    clock: fn() -> Instant,
    limits: Limits,
    state: Mutex<State<Req, Resp, K>>,
}

struct State<Req, Resp, K> {
    queue: Queue<Req, Resp, K>,
    phase: Phase,
    broken: Option<BatchFailed>,
    /// There is nobody left who could submit.
    is_deserted: bool,
    /// A caller has gone whose batch was sent.
    has_abandoned: bool,
    worker: Option<Waker>,
    rest: Rest,
    /// Those who wait for answers of others, or for the end.
    watchers: Vec<(u64, Waker)>,
    next_watcher: u64,
}

/// One of those who wait for answers of others, known by its number once it waits.
#[derive(Default)]
pub(crate) struct Watcher(Option<u64>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// Nothing is accepted any more; what was is answered.
    Closed,
    /// What is not answered shall not be.
    Stopping,
    /// The worker has gone.
    Over,
}

/// What a worker waits for that sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// For nothing that an item could bring.
    Awake,
    /// For an item.
    Idle,
    /// For a batch to be full.
    Lingering,
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Send,
    /// Let others have their turn, and then send.
    Yield,
    /// Look for batches that have lost all their callers.
    Cancel,
    /// Sleep until then, or until it is woken.
    SleepUntil(Instant),
    Sleep,
    /// Answer all and go.
    Stop,
}

/// Some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) waiting: usize,
    pub(crate) in_flight: usize,
    pub(crate) is_closed: bool,
}

impl<Req, Resp, K: Hash + Eq + Clone> Shared<Req, Resp, K> {
    pub(crate) fn new(limits: Limits, clock: fn() -> Instant) -> Self {
        Self {
            clock,
            limits,
            state: Mutex::new(State {
                queue: Queue::new(limits),
                phase: Phase::Open,
                broken: None,
                is_deserted: false,
                has_abandoned: false,
                worker: None,
                rest: Rest::Awake,
                watchers: Vec::new(),
                next_watcher: 0,
            }),
        }
    }

    // The callers' side.

    /// Accepts an item, unless it is closed.
    pub(crate) fn submit(
        &self,
        item: Submitted<Req>,
        lane: K,
    ) -> Result<Ticket<Resp>, Submitted<Req>> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            drop(state);
            return Err(item);
        }
        let (ticket, has_filled) = state.queue.push(item, lane, self.clock);
        let worker = match state.rest {
            Rest::Idle => state.wake_worker(),
            Rest::Lingering if has_filled => state.wake_worker(),
            Rest::Lingering | Rest::Awake => None,
        };
        drop(state);
        wake(worker);
        Ok(ticket)
    }

    /// Renews the waker of an item. Its answer may have come meanwhile: look for it afterwards.
    pub(crate) fn watch(&self, ticket: &Ticket<Resp>, waker: Waker) {
        let watched = self.state.lock().queue.watch(ticket, waker);
        if let Err(waker) = watched {
            ticket.parcel.watch(ticket.seat, waker);
        }
    }

    /// Gives an item up. Says whether it was not sent yet.
    pub(crate) fn withdraw(&self, ticket: Ticket<Resp>) -> bool {
        let mut state = self.state.lock();
        let withdrawn = state.queue.withdraw(&ticket);
        // A flush may have waited for this item alone.
        let watchers = match withdrawn {
            Some(_) => mem::take(&mut state.watchers),
            None => Vec::new(),
        };
        drop(state);
        let is_sent = withdrawn.is_none();
        wake(watchers.into_iter().map(|it| it.1));
        drop(withdrawn);
        // The worker counts who holds the parcel.
        drop(ticket);
        if is_sent {
            let mut state = self.state.lock();
            state.has_abandoned = true;
            let worker = state.wake_worker();
            drop(state);
            wake(worker);
        }
        !is_sent
    }

    /// Nobody is left who would make calls: what waits need not wait for others.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        state.queue.flush_for_ever();
        let worker = state.wake_worker();
        drop(state);
        wake(worker);
    }

    /// Nobody is left who could submit, or waits for an answer.
    pub(crate) fn desert(&self) {
        let mut state = self.state.lock();
        state.is_deserted = true;
        let worker = state.wake_worker();
        drop(state);
        wake(worker);
    }

    // The handles' side.

    /// Accepts nothing more. Says whether that is new.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = state.phase == Phase::Open;
        state.phase = state.phase.max(Phase::Closed);
        state.queue.flush_for_ever();
        let worker = state.wake_worker();
        drop(state);
        wake(worker);
        was_open
    }

    /// Has the worker answer all with [`Answers::Closed`], and go.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.phase = state.phase.max(Phase::Stopping);
        let worker = state.wake_worker();
        drop(state);
        wake(worker);
    }

    /// Sends all that waits; to be waited for with [`Self::poll_answered`].
    pub(crate) fn flush(&self) -> u64 {
        let mut state = self.state.lock();
        let below = state.queue.flush();
        let worker = state.wake_worker();
        drop(state);
        wake(worker);
        below
    }

    pub(crate) fn poll_answered(
        &self,
        below: u64,
        watcher: &mut Watcher,
        cx: &Context<'_>,
    ) -> Poll<()> {
        self.poll_until(watcher, cx, |state| {
            state.phase == Phase::Over || state.queue.is_answered(below)
        })
    }

    pub(crate) fn poll_over(&self, watcher: &mut Watcher, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(watcher, cx, |state| state.phase == Phase::Over)
    }

    /// A watcher that goes takes its waker with it.
    pub(crate) fn forget(&self, watcher: &Watcher) {
        let Watcher(Some(number)) = watcher else {
            return;
        };
        let mut state = self.state.lock();
        let at = state.watchers.iter().position(|it| it.0 == *number);
        let gone = at.map(|at| state.watchers.swap_remove(at));
        drop(state);
        drop(gone);
    }

    fn poll_until(
        &self,
        watcher: &mut Watcher,
        cx: &Context<'_>,
        is_so: impl Fn(&State<Req, Resp, K>) -> bool,
    ) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        if is_so(&state) {
            drop(state);
            return Poll::Ready(());
        }
        let number = *watcher.0.get_or_insert(state.next_watcher);
        state.next_watcher += 1;
        let last = state.watchers.iter_mut().find(|it| it.0 == number);
        let last = match last {
            Some(last) => Some(mem::replace(&mut last.1, waker)),
            None => {
                state.watchers.push((number, waker));
                None
            }
        };
        drop(state);
        drop(last);
        Poll::Pending
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let state = self.state.lock();
        Numbers {
            waiting: state.queue.waiting(),
            in_flight: state.queue.in_flight(),
            is_closed: state.phase != Phase::Open,
        }
    }

    /// Why the service can never be called again, if that is so.
    pub(crate) fn broken(&self) -> Option<BatchFailed> {
        self.state.lock().broken.clone()
    }

    // The worker's side.

    /// What to do next. If it says [`Next::Sleep`] or [`Next::SleepUntil`], the worker is woken when
    /// that changes.
    pub(crate) fn next(
        &self,
        now: Instant,
        can_send: bool,
        has_yielded: bool,
        worker: &Waker,
    ) -> Next {
        let waker = worker.clone();
        let mut state = self.state.lock();
        let last = state.worker.replace(waker);
        let next = state.next(now, can_send, has_yielded);
        state.rest = match next {
            Next::SleepUntil(_) => Rest::Lingering,
            Next::Sleep if can_send => Rest::Idle,
            _ => Rest::Awake,
        };
        drop(state);
        drop(last);
        next
    }

    /// The batch to be sent now.
    pub(crate) fn take(&self, now: Instant) -> Option<Batch<Req, Resp, K>> {
        let sent = self.state.lock().queue.take(now);
        sent.map(|it| Batch::new(it, &self.limits))
    }

    /// A batch has its answers. Callers are woken first, then who waits for them.
    pub(crate) fn answer(
        &self,
        parcel: &Parcel<Resp>,
        (items, lane): (usize, Option<&K>),
        answers: Answers<Resp>,
    ) {
        self.state.lock().queue.answering(items, lane);
        parcel.answer(answers);
        let mut state = self.state.lock();
        state.queue.answered(parcel.id);
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        wake(watchers.into_iter().map(|it| it.1));
    }

    /// The service is broken: fails all that waits, and accepts nothing more.
    pub(crate) fn fail(&self, error: &BatchFailed) {
        let mut state = self.state.lock();
        state.phase = state.phase.max(Phase::Closed);
        state.broken = Some(error.clone());
        let waiting = state.queue.take_all();
        drop(state);
        for Forming { parcel, .. } in waiting {
            parcel.answer(Answers::Failed(error.clone()));
        }
    }

    /// The worker goes: what waits is answered that it is closed. Says how many items that are, unless
    /// it had gone before.
    pub(crate) fn end(&self) -> Option<usize> {
        let mut state = self.state.lock();
        let abandoned = (state.phase != Phase::Over).then(|| state.queue.waiting());
        state.phase = Phase::Over;
        let waiting = state.queue.take_all();
        let watchers = mem::take(&mut state.watchers);
        let worker = state.worker.take();
        drop(state);
        drop(worker);
        for Forming { parcel, .. } in waiting {
            parcel.answer(Answers::Closed);
        }
        wake(watchers.into_iter().map(|it| it.1));
        abandoned
    }
}

impl<Req, Resp, K: Hash + Eq + Clone> State<Req, Resp, K> {
    fn next(&mut self, now: Instant, can_send: bool, has_yielded: bool) -> Next {
        let is_last = self.phase != Phase::Open || self.is_deserted;
        if self.phase >= Phase::Stopping || is_last && self.queue.is_idle() {
            return Next::Stop;
        }
        if mem::take(&mut self.has_abandoned) {
            return Next::Cancel;
        }
        if !can_send {
            return Next::Sleep;
        }
        match self.queue.due(now) {
            Due::InTurn if !has_yielded => Next::Yield,
            Due::Now | Due::InTurn => Next::Send,
            Due::At(until) => Next::SleepUntil(until),
            Due::Nothing => Next::Sleep,
        }
    }

    /// To be woken when the lock has been left.
    fn wake_worker(&mut self) -> Option<Waker> {
        self.rest = Rest::Awake;
        self.worker.take()
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
