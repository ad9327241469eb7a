//! One load that many wait for.

use std::{
    future::Future,
    iter, mem,
    pin::Pin,
    task::{Context, Poll, Wake, Waker},
};

use crate::sync::{Arc, Mutex, OnceLock};

/// A future that has an outcome. It is not to panic.
pub(crate) type Load<O> = Pin<Box<dyn Future<Output = O> + Send>>;

/// A load that is polled by whoever of its passengers is polled, one at a time. When all of them are
/// gone it is dropped.
pub(crate) struct Flight<O> {
    landed: OnceLock<O>,
    state: Mutex<State<O>>,
}

struct State<O> {
    /// `None` while it is polled, and at the end.
    load: Option<Load<O>>,
    /// The load is to be polled: it has been woken, and not been polled since.
    is_woken: bool,
    /// All have left, and nobody can join.
    is_over: bool,
    seats: Seats,
    driver: usize,
    /// A task of its own that drives, and alone: nothing stalls it.
    keeper: Option<usize>,
}

/// Waits for the outcome, and drives the load when it is to be polled.
pub(crate) struct Passenger<O> {
    flight: Arc<Flight<O>>,
    seat: usize,
}

/// The first is inline, since most flights have one.
struct Seats {
    first: Seat,
    more: Vec<Seat>,
    free: Vec<usize>,
    taken: usize,
    /// Where the search for somebody to wake goes on.
    next: usize,
}

enum Seat {
    Free,
    /// It is polled, or was woken, or was never polled.
    Quiet,
    Waiting(Waker),
}

/// How many are woken to drive: as long as one of them is polled, the load goes on.
const AWAKE: usize = 8;

/// The seat of one who has the outcome.
const LANDED: usize = usize::MAX;

type Wakers = [Option<Waker>; AWAKE];

impl<O: Clone + Send + Sync + 'static> Flight<O> {
    /// A flight with one passenger. If that is a keeper, it drives as long as it lives.
    pub(crate) fn new(load: Load<O>, has_keeper: bool) -> (Arc<Self>, Passenger<O>) {
        let flight = Arc::new(Self {
            landed: OnceLock::new(),
            state: Mutex::new(State {
                load: Some(load),
                is_woken: true,
                is_over: false,
                seats: Seats {
                    first: Seat::Quiet,
                    more: Vec::new(),
                    free: Vec::new(),
                    taken: 1,
                    next: 0,
                },
                driver: 0,
                keeper: has_keeper.then_some(0),
            }),
        });
        let passenger = Passenger {
            flight: Arc::clone(&flight),
            seat: 0,
        };
        (flight, passenger)
    }

    /// One more passenger, unless all have left.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Passenger<O>> {
        let mut state = self.state.lock();
        if state.is_over {
            return None;
        }
        let seat = state.seats.take();
        drop(state);
        Some(Passenger {
            flight: Arc::clone(self),
            seat,
        })
    }

    fn poll(self: &Arc<Self>, seat: usize, cx: &Context<'_>) -> Poll<O> {
        // Before the lock, so that it goes after it.
        let mut _replaced = None;
        let mut state = self.state.lock();
        if let Some(outcome) = self.landed.get() {
            drop(state);
            return Poll::Ready(outcome.clone());
        }
        let drives = state.is_woken && state.keeper.is_none_or(|it| it == seat);
        let load = if drives { state.load.take() } else { None };
        let Some(mut load) = load else {
            _replaced = state.seats.wait(seat, cx.waker());
            return Poll::Pending;
        };
        state.is_woken = false;
        state.driver = seat;
        drop(state);

        let waker = Waker::from(Arc::clone(self));
        match load.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                let mut state = self.state.lock();
                state.load = Some(load);
                _replaced = state.seats.wait(seat, cx.waker());
                let called = state.call();
                drop(state);
                wake(called);
                Poll::Pending
            }
            Poll::Ready(outcome) => {
                let mut state = self.state.lock();
                if state.seats.taken == 1 {
                    // Nobody else is to be told, and nobody can join.
                    state.is_over = true;
                    drop(state);
                    drop(load);
                    return Poll::Ready(outcome);
                }
                let landed = self.landed.get_or_init(|| outcome);
                let waiting = state.seats.empty();
                drop(state);
                waiting.for_each(Waker::wake);
                drop(load);
                // Last, since it is the user's: if it panics, the others have been told.
                Poll::Ready(landed.clone())
            }
        }
    }

    fn wake_up(&self) {
        let mut state = self.state.lock();
        state.is_woken = true;
        let called = state.call();
        drop(state);
        wake(called);
    }
}

impl<O> Flight<O> {
    fn leave(&self, seat: usize) {
        let mut state = self.state.lock();
        let left = state.seats.leave(seat);
        if state.keeper == Some(seat) {
            state.keeper = None;
        }
        let mut load = None;
        let mut called = Wakers::default();
        if state.seats.taken == 0 {
            state.is_over = true;
            load = state.load.take();
        } else if matches!(left, Seat::Quiet) {
            // It may have been woken to drive, and now somebody else has to.
            called = state.call();
        }
        drop(state);
        drop((left, load));
        wake(called);
    }
}

impl<O> State<O> {
    /// Those who are to be woken: nobody if the load needs no poll, or is being polled; then it is seen
    /// to after that.
    fn call(&mut self) -> Wakers {
        let mut called = Wakers::default();
        if !self.is_woken || self.load.is_none() {
            return called;
        }
        if let Some(keeper) = self.keeper {
            called[0] = self.seats.call(keeper);
            return called;
        }
        let first = self.seats.call(self.driver);
        let others = iter::from_fn(|| self.seats.call_next());
        for (place, waker) in called.iter_mut().zip(first.into_iter().chain(others)) {
            *place = Some(waker);
        }
        called
    }
}

impl Seats {
    fn take(&mut self) -> usize {
        self.taken += 1;
        if let Some(seat) = self.free.pop() {
            *self.at(seat) = Seat::Quiet;
            return seat;
        }
        self.more.push(Seat::Quiet);
        self.more.len()
    }

    /// Gives back the waker that was there, to be dropped without the lock.
    fn wait(&mut self, seat: usize, waker: &Waker) -> Option<Waker> {
        match self.at(seat) {
            Seat::Waiting(known) if known.will_wake(waker) => None,
            at => match mem::replace(at, Seat::Waiting(waker.clone())) {
                Seat::Waiting(replaced) => Some(replaced),
                Seat::Free | Seat::Quiet => None,
            },
        }
    }

    fn leave(&mut self, seat: usize) -> Seat {
        self.taken -= 1;
        // When a flight has landed there are no seats any more.
        if seat > self.more.len() {
            return Seat::Free;
        }
        // Nobody follows the last.
        if self.taken > 0 {
            self.free.push(seat);
        }
        mem::replace(self.at(seat), Seat::Free)
    }

    fn call(&mut self, seat: usize) -> Option<Waker> {
        let at = self.at(seat);
        match mem::replace(at, Seat::Quiet) {
            Seat::Waiting(waker) => Some(waker),
            other => {
                *at = other;
                None
            }
        }
    }

    fn call_next(&mut self) -> Option<Waker> {
        let seats = self.more.len() + 1;
        for _ in 0..seats {
            self.next = (self.next + 1) % seats;
            if let Some(waker) = self.call(self.next) {
                return Some(waker);
            }
        }
        None
    }

    /// All who wait, for good.
    fn empty(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let first = mem::replace(&mut self.first, Seat::Free);
        let more = mem::take(&mut self.more);
        iter::once(first).chain(more).filter_map(|it| match it {
            Seat::Waiting(waker) => Some(waker),
            Seat::Free | Seat::Quiet => None,
        })
    }

    fn at(&mut self, seat: usize) -> &mut Seat {
        match seat.checked_sub(1) {
            None => &mut self.first,
            Some(index) => &mut self.more[index],
        }
    }
}

fn wake(called: Wakers) {
    for waker in called.into_iter().flatten() {
        waker.wake();
    }
}

impl<O: Clone + Send + Sync + 'static> Passenger<O> {
    /// One more on the same flight.
    pub(crate) fn join(&self) -> Option<Self> {
        self.flight.join()
    }
}

impl<O: Clone + Send + Sync + 'static> Wake for Flight<O> {
    fn wake(self: Arc<Self>) {
        self.wake_up();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_up();
    }
}

impl<O: Clone + Send + Sync + 'static> Future for Passenger<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let polled = self.flight.poll(self.seat, cx);
        if polled.is_ready() {
            self.seat = LANDED;
        }
        polled
    }
}

impl<O> Drop for Passenger<O> {
    fn drop(&mut self) {
        if self.seat != LANDED {
            self.flight.leave(self.seat);
        }
    }
}
