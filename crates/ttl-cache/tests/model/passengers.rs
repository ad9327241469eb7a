//! A flight by itself.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use shuttle::{future::block_on, thread};

use crate::{
    flight::{Flight, Passenger},
    sync::Mutex,
};

const ITERATIONS: usize = 5_000;

/// Whoever is polled drives, and whoever is not is no loss: callers that leave after any number of polls,
/// and such that are never polled again, while the load is woken again and again.
#[test]
fn all_who_stay_get_the_outcome_of_one_load() {
    shuttle::check_random(
        || {
            let (load, signal) = Steps::new(3);
            let (flight, first) = Flight::new(Box::pin(load), false);
            let stayers: Vec<_> = (0..3)
                .map(|_| flight.join().expect("the first is there"))
                .map(|it| thread::spawn(move || block_on(it)))
                .collect();
            let leavers: Vec<_> = [1, 2]
                .map(|polls| (polls, flight.join().expect("the first is there")))
                .map(|(polls, it)| thread::spawn(move || leave_after(polls, it)))
                .into();
            let stalled = flight.join().map(stall);
            let waking = signal.wake_from_elsewhere();
            leave_after(1, first);
            for stayer in stayers {
                assert_eq!(stayer.join().unwrap(), 7);
            }
            leavers.into_iter().for_each(|it| it.join().unwrap());
            waking.join().unwrap();
            drop(stalled);
            assert_eq!(signal.ends.load(SeqCst), 1);
        },
        ITERATIONS,
    );
}

/// Up to seven of eight: the last one drives.
#[test]
fn seven_who_are_not_polled_again_stall_nobody() {
    shuttle::check_random(
        || {
            let (load, signal) = Steps::new(2);
            let (flight, first) = Flight::new(Box::pin(load), false);
            let mut stalled = vec![stall(first)];
            stalled.extend((0..6).map(|_| stall(flight.join().expect("the first is there"))));
            let last = flight.join().expect("the first is there");
            let last = thread::spawn(move || block_on(last));
            let waking = signal.wake_from_elsewhere();
            assert_eq!(last.join().unwrap(), 7);
            waking.join().unwrap();
        },
        ITERATIONS,
    );
}

/// Then a newcomer finds that it is over, or gets the outcome.
#[test]
fn a_load_is_dropped_when_the_last_has_left_and_not_before() {
    shuttle::check_random(
        || {
            let (load, signal) = Steps::new(2);
            let (flight, first) = Flight::new(Box::pin(load), false);
            let waking = signal.wake_from_elsewhere();
            let leavers: Vec<_> = [0, 1]
                .map(|polls| (polls, flight.join().expect("the first is there")))
                .map(|(polls, it)| thread::spawn(move || leave_after(polls, it)))
                .into();
            let newcomer = {
                let flight = Arc::clone(&flight);
                thread::spawn(move || flight.join().map(block_on))
            };
            leave_after(1, first);
            leavers.into_iter().for_each(|it| it.join().unwrap());
            let got = newcomer.join().unwrap();
            waking.join().unwrap();
            assert!(matches!(got, None | Some(7)));
            assert_eq!(signal.drops.load(SeqCst), 1);
            let is_flown = signal.ends.load(SeqCst) == 1;
            assert!(is_flown || got.is_none());
            assert!(is_flown || flight.join().is_none());
        },
        ITERATIONS,
    );
}

/// As a task of its own it drives alone; when it is aborted, the others take over.
#[test]
fn a_keeper_drives_and_its_end_harms_nobody() {
    shuttle::check_random(
        || {
            let (load, signal) = Steps::new(3);
            let (flight, keeper) = Flight::new(Box::pin(load), true);
            let stayers: Vec<_> = (0..2)
                .map(|_| flight.join().expect("the keeper is there"))
                .map(|it| thread::spawn(move || block_on(it)))
                .collect();
            let keeper = thread::spawn(move || leave_after(2, keeper));
            let waking = signal.wake_from_elsewhere();
            for stayer in stayers {
                assert_eq!(stayer.join().unwrap(), 7);
            }
            keeper.join().unwrap();
            waking.join().unwrap();
        },
        ITERATIONS,
    );
}

/// A load that is pending so many times, and is woken from another thread.
struct Steps {
    left: usize,
    signal: Arc<Signal>,
    is_polled: AtomicBool,
}

#[derive(Default)]
struct Signal {
    waker: Mutex<Option<Waker>>,
    fired: shuttle::sync::atomic::AtomicUsize,
    ends: AtomicUsize,
    drops: AtomicUsize,
}

impl Steps {
    fn new(left: usize) -> (Self, Arc<Signal>) {
        let signal = Arc::<Signal>::default();
        let load = Self {
            left,
            signal: Arc::clone(&signal),
            is_polled: AtomicBool::new(false),
        };
        (load, signal)
    }
}

impl Signal {
    /// Fires until the load has gone.
    fn wake_from_elsewhere(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let signal = Arc::clone(self);
        thread::spawn(move || {
            while signal.drops.load(SeqCst) == 0 {
                if let Some(waker) = signal.waker.lock().take() {
                    signal.fired.fetch_add(1, SeqCst);
                    waker.wake();
                }
                thread::yield_now();
            }
        })
    }
}

impl Future for Steps {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        assert!(!self.is_polled.swap(true, SeqCst), "polled by two at once");
        let steps = self.left;
        let fired = self.signal.fired.load(SeqCst);
        thread::yield_now();
        let poll = if fired >= steps {
            assert_eq!(self.signal.ends.fetch_add(1, SeqCst), 0);
            Poll::Ready(7)
        } else {
            *self.signal.waker.lock() = Some(cx.waker().clone());
            Poll::Pending
        };
        self.left = steps;
        self.is_polled.store(false, SeqCst);
        poll
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.signal.drops.fetch_add(1, SeqCst);
    }
}

/// Polled so many times when it is woken, and then dropped.
fn leave_after(polls: usize, passenger: Passenger<u32>) {
    let mut passenger = pin!(passenger);
    let mut left = polls;
    block_on(poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        match passenger.as_mut().poll(cx) {
            Poll::Ready(outcome) => {
                assert_eq!(outcome, 7);
                Poll::Ready(())
            }
            Poll::Pending if left == 0 => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }));
}

/// Polled once, and then held without being polled.
fn stall(mut passenger: Passenger<u32>) -> Passenger<u32> {
    let mut cx = Context::from_waker(Waker::noop());
    let _ = Pin::new(&mut passenger).poll(&mut cx);
    passenger
}
