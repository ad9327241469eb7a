//! Who is in flight, asked while requests begin and end, under shuttle.

// What the file holds beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/in_flight.rs"]
mod in_flight;
mod sync;

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::SeqCst},
};

use in_flight::InFlight;
use shuttle::{sync::mpsc::channel, thread};
use sync::PUT;
use tokio::time::Instant;

const ITERATIONS: usize = 5_000;

const NOT_YET: u8 = 0;
const IN_FLIGHT: u8 = 1;
const ENDING: u8 = 2;
const ENDED: u8 = 3;

/// In place of the crate's: which request it is, and how far that has got.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<Request>);

#[derive(Debug)]
struct Request {
    started: Instant,
    state: AtomicU8,
}

impl RequestContext {
    fn new() -> Self {
        Self(Arc::new(Request {
            started: Instant::now(),
            state: AtomicU8::new(NOT_YET),
        }))
    }

    fn started(&self) -> Instant {
        self.0.started
    }

    fn state(&self) -> u8 {
        self.0.state.load(SeqCst)
    }

    /// Begins and ends, with a step in between at which another thread may go on.
    fn pass(&self, in_flight: &InFlight) {
        let entry = in_flight.enter(self);
        self.0.state.store(IN_FLIGHT, SeqCst);
        thread::yield_now();
        self.0.state.store(ENDING, SeqCst);
        drop(entry);
        self.0.state.store(ENDED, SeqCst);
    }
}

/// In a slot of their own or in one that another has given back, in one shard or in several.
#[test]
fn a_snapshot_has_all_that_are_in_flight_and_none_that_has_ended() {
    for shards in [1, 2] {
        shuttle::check_random(
            move || {
                let in_flight = InFlight::for_threads(shards);
                let requests: Vec<_> = (0..6).map(|_| RequestContext::new()).collect();
                let threads: Vec<_> = requests
                    .chunks(2)
                    .map(|own| (own.to_vec(), in_flight.clone()))
                    .map(|(own, it)| {
                        thread::spawn(move || own.iter().for_each(|own| own.pass(&it)))
                    })
                    .collect();
                for _ in 0..2 {
                    let before: Vec<_> = requests.iter().map(RequestContext::state).collect();
                    let seen = in_flight.snapshot();
                    for (request, before) in requests.iter().zip(before) {
                        let times = seen
                            .iter()
                            .filter(|it| Arc::ptr_eq(&it.context.0, &request.0));
                        let times = times.count();
                        assert!(times <= 1);
                        if before == ENDED {
                            assert_eq!(times, 0);
                        }
                        if before == IN_FLIGHT && request.state() == IN_FLIGHT {
                            assert_eq!(times, 1);
                        }
                    }
                }
                threads.into_iter().for_each(|it| it.join().unwrap());
                assert!(in_flight.is_empty());
                // None is kept beyond its request.
                assert!(requests.iter().all(|it| Arc::strong_count(&it.0) == 1));
            },
            ITERATIONS,
        );
    }
}

/// Each thread begins a request of its own before it ends the one that it was handed, which was begun by
/// another, in another shard. So there is always one, for a moment two.
#[test]
fn a_snapshot_is_of_one_moment() {
    shuttle::check_random(
        || {
            let in_flight = InFlight::for_threads(4);
            let (send, receive) = channel();
            send.send(in_flight.enter(&RequestContext::new())).unwrap();
            let others = in_flight.clone();
            let ring = thread::spawn(move || {
                for _ in 0..3 {
                    let (others, handed) = (others.clone(), receive.recv().unwrap());
                    let own = thread::spawn(move || {
                        let own = others.enter(&RequestContext::new());
                        drop(handed);
                        own
                    });
                    send.send(own.join().unwrap()).unwrap();
                }
                receive
            });
            for _ in 0..3 {
                let len = in_flight.len();
                assert!((1..=2).contains(&len), "{len}");
                let len = in_flight.snapshot().len();
                assert!((1..=2).contains(&len), "{len}");
            }
            drop(ring.join().unwrap());
            assert!(in_flight.is_empty());
        },
        ITERATIONS,
    );
}

/// All locks are taken by several at once, while others hold one.
#[test]
fn those_who_ask_at_once_do_not_wait_for_each_other_for_ever() {
    shuttle::check_random(
        || {
            let in_flight = InFlight::for_threads(4);
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let in_flight = in_flight.clone();
                    thread::spawn(move || {
                        if number % 2 == 0 {
                            RequestContext::new().pass(&in_flight);
                        } else {
                            assert!(in_flight.snapshot().len() <= 2);
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|it| it.join().unwrap());
        },
        ITERATIONS,
    );
}

/// Whoever is the last to go, a handle or a request.
#[test]
fn each_shard_is_lent_again_once_when_nobody_uses_it() {
    shuttle::check_random(
        || {
            PUT.with_borrow_mut(Vec::clear);
            let in_flight = InFlight::for_threads(2);
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let in_flight = in_flight.clone();
                    thread::spawn(move || {
                        let entry = in_flight.enter(&RequestContext::new());
                        drop(in_flight);
                        thread::yield_now();
                        assert!(PUT.with_borrow(Vec::len) < 2, "one is in use");
                        drop(entry);
                    })
                })
                .collect();
            drop(in_flight);
            threads.into_iter().for_each(|it| it.join().unwrap());
            let put = PUT.take();
            assert_eq!(put.len(), 2);
            assert_ne!(put[0], put[1]);
        },
        ITERATIONS,
    );
}
