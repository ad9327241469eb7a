//! The book against a model that is naive: a list of connections and a queue.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::book::{Book, Checkup, Condition, Effects, Goner, Grant, Joined, Lend, Question, Work};
use crate::error::Cause;
use crate::limits::{KeyedLimits, Limits};
use crate::snapshot::CloseReason;
use crate::times::Times;

#[derive(Clone, Debug)]
enum Op {
    Acquire(u32),
    /// A lease ends: the how manieth, and whether its connection is broken.
    GiveBack(usize, bool),
    /// A waiter gives up, or fetches what it got.
    Leave(usize),
    Fetch(usize),
    Connect(usize, bool),
    /// It is made, and broken.
    Spoil(usize),
    Close(usize),
    Check(usize, bool),
    /// The housekeeper asks whether one is broken, or hears the answer.
    Ask(u32),
    Answer(bool),
    Report(usize),
    Advance(u64),
    Resize(u32),
    RetireAll,
    ReplaceAll,
}

/// All that can happen to a book; the connections are numbers.
struct Driver<R> {
    book: Book<R>,
    wrap: fn(u32) -> R,
    number: fn(&R) -> u32,
    now: Instant,
    made: u32,
    max_size: u32,
    max_leases: u32,
    /// To how many the connection of this number says it can be lent.
    says: fn(u32) -> u32,
    lanes: Vec<u32>,
    leases: Vec<Grant<R>>,
    waiters: Vec<u32>,
    connecting: Vec<u32>,
    closing: Vec<Goner<R>>,
    checking: Vec<Checkup<R>>,
    asking: Option<Question<R>>,
    /// What the model knows of connections that can be lent.
    open: Vec<Open>,
    clock: u32,
    /// Who waits, of each lane, in order.
    queues: Vec<VecDeque<u32>>,
    predict: bool,
}

struct Open {
    number: u32,
    lane: usize,
    load: u32,
    max: u32,
    /// When its load last changed.
    at: u32,
}

impl<R: Lend> Driver<R> {
    fn new(
        book: Book<R>,
        wrap: fn(u32) -> R,
        number: fn(&R) -> u32,
        max_size: u32,
        max_leases: u32,
        predict: bool,
    ) -> Self {
        Self {
            book,
            wrap,
            number,
            now: Instant::now(),
            made: 0,
            max_size,
            max_leases,
            says: |_| u32::MAX,
            lanes: vec![0],
            leases: Vec::new(),
            waiters: Vec::new(),
            connecting: Vec::new(),
            closing: Vec::new(),
            checking: Vec::new(),
            asking: None,
            open: Vec::new(),
            clock: 0,
            queues: vec![VecDeque::new(); 3],
            predict,
        }
    }

    fn run(&mut self, op: &Op) {
        let before = self.total();
        self.run_op(op);
        // Only a lower maximum is exceeded, and then by no more than before.
        let total = self.total();
        assert!(total <= self.max_size.max(before), "{total} after {op:?}");
    }

    fn total(&self) -> u32 {
        let sizes = self.book.sizes();
        sizes.idle + sizes.lent + sizes.connecting + sizes.closing
    }

    fn run_op(&mut self, op: &Op) {
        let mut fx = Effects::none();
        let now = self.now;
        self.clock += 1;
        match *op {
            Op::Acquire(lane) => self.acquire(lane as usize % self.lanes.len(), &mut fx),
            Op::GiveBack(which, broken) => {
                if let Some(Grant { one, note, .. }) = pick(&mut self.leases, which) {
                    let number = (self.number)(&one);
                    let condition = if broken {
                        Condition::Broken
                    } else {
                        Condition::Good
                    };
                    let quick = match broken {
                        false => self.book.give_back_quickly(note, one, now),
                        true => Err(one),
                    };
                    if let Err(one) = quick {
                        self.book.give_back(note, one, condition, now, &mut fx);
                    }
                    self.model_return(number, broken);
                }
            }
            Op::Leave(which) => {
                if let Some(waiter) = pick(&mut self.waiters, which) {
                    let number = self.book.granted_to(waiter).map(self.number);
                    drop(self.book.leave(waiter, now, &mut fx));
                    for queue in &mut self.queues {
                        queue.retain(|&it| it != waiter);
                    }
                    if let Some(number) = number {
                        self.model_return(number, false);
                    }
                }
            }
            Op::Fetch(which) => {
                if let Some(waiter) = pick(&mut self.waiters, which) {
                    match self.book.fetch(waiter) {
                        Poll::Ready(Ok(grant)) => self.leases.push(grant),
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => self.waiters.push(waiter),
                    }
                }
            }
            Op::Connect(which, true) => {
                if let Some(slot) = pick(&mut self.connecting, which) {
                    let number = self.made;
                    self.made += 1;
                    let lane = self.book.lane_of(slot) as usize;
                    let one = (self.wrap)(number);
                    let max_leases = (self.says)(number);
                    self.book
                        .connected(slot, one, max_leases, 0.5, now, &mut fx);
                    self.open.push(Open {
                        number,
                        lane,
                        load: 0,
                        max: max_leases.min(self.max_leases),
                        at: self.clock,
                    });
                    self.model_serve(lane);
                }
            }
            Op::Connect(which, false) => {
                if let Some(slot) = pick(&mut self.connecting, which) {
                    let cause: Cause = Arc::new(std::fmt::Error);
                    self.book.failed(slot, cause, now, &mut fx);
                }
            }
            Op::Spoil(which) => {
                if let Some(slot) = pick(&mut self.connecting, which) {
                    let one = (self.wrap)(u32::MAX);
                    let cause: Cause = Arc::new(std::fmt::Error);
                    self.book.stillborn(slot, one, cause, now, &mut fx);
                }
            }
            Op::Close(which) => {
                if let Some(goner) = pick(&mut self.closing, which) {
                    self.book.closed(goner.slot, &mut fx);
                }
            }
            Op::Check(which, passed) => {
                if let Some(Checkup { slot, one }) = pick(&mut self.checking, which) {
                    self.book.checked(slot, one, passed, now, &mut fx);
                }
            }
            Op::Ask(from) => {
                if self.asking.is_none() {
                    self.asking = self.book.ask(from, now);
                }
            }
            Op::Answer(broken) => {
                if let Some(question) = self.asking.take() {
                    self.book.answered(question, broken, now, &mut fx);
                }
            }
            Op::Report(which) => {
                if !self.leases.is_empty() {
                    let lease = &self.leases[which % self.leases.len()];
                    let number = (self.number)(&lease.one);
                    self.book
                        .report(lease.note, Condition::Broken, now, &mut fx);
                    self.open.retain(|open| open.number != number);
                }
            }
            Op::Advance(millis) => self.now += Duration::from_millis(millis),
            Op::Resize(max_size) => {
                self.predict = false;
                if self.book.resize(max_size, now, &mut fx) {
                    self.max_size = max_size;
                }
            }
            Op::RetireAll => {
                self.book.retire_all(CloseReason::Retired, now, &mut fx);
                self.open.clear();
            }
            Op::ReplaceAll => {
                self.predict = false;
                self.book.replace_all(now, &mut fx);
            }
        }
        self.work(fx);
        self.verify();
    }

    fn acquire(&mut self, lane: usize, fx: &mut Effects<R>) {
        let expected = (self.queues[lane].is_empty()).then(|| self.model_first(lane));
        let place = Location::caller();
        let mut waker = Some(Waker::noop().clone());
        let id = self.lanes[lane];
        match self.book.join(id, self.now, place, &mut waker, fx) {
            Joined::Granted(grant) => {
                let number = (self.number)(&grant.one);
                if self.predict {
                    assert_eq!(expected.flatten(), Some(number));
                    self.model_lend(number);
                }
                self.leases.push(grant);
            }
            Joined::Refused(_) => {}
            Joined::Waiting(waiter) => {
                assert!(!self.predict || expected.flatten().is_none());
                self.waiters.push(waiter);
                self.queues[lane].push_back(waiter);
            }
        }
    }

    /// Three in all.
    fn add_lanes(&mut self) {
        for _ in 0..2 {
            let lane = self.book.new_lane();
            self.book.gain_interest(lane);
            self.lanes.push(lane);
        }
    }

    /// As the housekeeper, until there is nothing to do.
    fn work(&mut self, mut fx: Effects<R>) {
        for round in 0.. {
            assert!(round < 10, "never done");
            let before = fx.poke;
            fx = Effects::none();
            let Work {
                connect,
                close,
                check,
                abort,
                failed,
                next,
                ..
            } = self.book.work(self.now, &mut fx);
            self.connecting.extend(connect.iter().map(|(slot, _)| slot));
            self.closing.extend(close);
            self.checking.extend(check);
            if !abort.is_empty() {
                self.book.aborted(abort.len() as u32, &mut fx);
            }
            for &(lane, _) in &failed {
                let retry_at = self.now + Duration::from_millis(100);
                self.book.retry(lane, retry_at, self.now, &mut fx);
            }
            assert!(next.is_none_or(|next| next > self.now), "would spin");
            if !fx.poke && !before {
                break;
            }
        }
        // Those refused are in no queue.
        let book = &self.book;
        for queue in &mut self.queues {
            queue.retain(|&it| !book.is_refused(it));
        }
    }

    fn verify(&mut self) {
        self.book.audit();
        assert!(!self.book.is_idle_in_vain(self.now));
        // First come, first served: those that got something are the first of their queue.
        let book = &self.book;
        for queue in &mut self.queues {
            let granted = |it: &u32| book.granted_to(*it).is_some();
            while queue.front().is_some_and(granted) {
                queue.pop_front();
            }
            assert!(!queue.iter().any(granted), "overtaken");
        }
    }

    fn model_first(&self, lane: usize) -> Option<u32> {
        let open = self.open.iter();
        let open = open.filter(|open| open.lane == lane && open.load < open.max);
        open.min_by_key(|open| (open.load, std::cmp::Reverse(open.at)))
            .map(|open| open.number)
    }

    fn model_lend(&mut self, number: u32) {
        let open = self.open.iter_mut().find(|open| open.number == number);
        let open = open.expect("the model has it");
        open.load += 1;
        open.at = self.clock;
    }

    fn model_return(&mut self, number: u32, broken: bool) {
        if !self.predict {
            return;
        }
        let Some(at) = self.open.iter().position(|open| open.number == number) else {
            return;
        };
        self.clock += 1;
        self.open[at].load -= 1;
        self.open[at].at = self.clock;
        if broken {
            self.open.swap_remove(at);
        } else {
            let lane = self.open[at].lane;
            self.model_serve(lane);
        }
    }

    /// The first of the queue gets what the model says.
    fn model_serve(&mut self, lane: usize) {
        if !self.predict {
            return;
        }
        while let Some(&waiter) = self.queues[lane].front()
            && let Some(number) = self.model_first(lane)
        {
            let granted = self.book.granted_to(waiter).map(self.number);
            assert_eq!(granted, Some(number));
            self.clock += 1;
            self.model_lend(number);
            self.queues[lane].pop_front();
        }
    }

    /// After all that, everything comes to an end.
    fn end(mut self) {
        let mut fx = Effects::none();
        self.book.close(self.now, &mut fx);
        self.predict = false;
        self.work(fx);
        for op in [
            Op::GiveBack(0, false),
            Op::Connect(0, true),
            Op::Check(0, true),
            Op::Answer(false),
            Op::Leave(0),
            Op::Close(0),
        ] {
            for _ in 0..100 {
                self.run(&op);
            }
        }
        for _ in 0..100 {
            self.run(&Op::GiveBack(0, false));
            self.run(&Op::Close(0));
        }
        assert!(self.book.is_drained());
        assert_eq!(self.book.unfetched(), 0);
        let snapshot = self.book.snapshot(self.now);
        assert_eq!((snapshot.sizes, snapshot.leases), (Default::default(), 0));
        let reasons = [
            CloseReason::Broken,
            CloseReason::CheckFailed,
            CloseReason::Idle,
            CloseReason::Lifetime,
            CloseReason::Retired,
            CloseReason::Surplus,
            CloseReason::Evicted,
            CloseReason::Closed,
        ];
        let closed: u64 = reasons.iter().map(|&it| snapshot.closed(it)).sum();
        assert_eq!(closed, snapshot.created, "each was closed, once");
    }
}

fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(which % from.len()))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3u32).prop_map(Op::Acquire),
        5 => (0..20usize, prop::bool::weighted(0.2)).prop_map(|(it, broken)| Op::GiveBack(it, broken)),
        2 => (0..20usize).prop_map(Op::Leave),
        4 => (0..20usize).prop_map(Op::Fetch),
        4 => (0..20usize, prop::bool::weighted(0.9)).prop_map(|(it, made)| Op::Connect(it, made)),
        3 => (0..20usize).prop_map(Op::Close),
        1 => (0..20usize).prop_map(Op::Report),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => op(),
        2 => (0..20usize, prop::bool::weighted(0.7)).prop_map(|(it, passed)| Op::Check(it, passed)),
        1 => (0..20usize).prop_map(Op::Spoil),
        2 => (0..3u32).prop_map(Op::Ask),
        2 => prop::bool::weighted(0.3).prop_map(Op::Answer),
        1 => (1..2000u64).prop_map(Op::Advance),
        1 => (1..8u32).prop_map(Op::Resize),
        1 => Just(Op::RetireAll),
        1 => Just(Op::ReplaceAll),
    ]
}

fn quiet() -> Times {
    Times::new().with_check_after_idle(Duration::from_secs(3600))
}

fn busy() -> Times {
    let ms = Duration::from_millis;
    Times::new()
        .with_check_after_idle(ms(300))
        .with_acquire_within(ms(2000))
        .and_then(|times| times.with_keep_alive(ms(700)))
        .and_then(|times| times.with_sweep_every(ms(100)))
        .and_then(|times| times.with_idle_for(ms(1500)))
        .and_then(|times| times.with_lifetime(ms(3000)))
        .unwrap()
        .with_drain_within(ms(500))
}

/// As of a server that speaks HTTP/1.1 on some of its addresses.
fn some_to_one(number: u32) -> u32 {
    [3, 1, 2, 1][number as usize % 4]
}

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn whole(limits: Limits, max_size: u32, times: Times, predict: bool) -> Driver<Box<u32>> {
    let book = Book::new(None, limits.counts(), 1, times);
    Driver::new(book, Box::new, |one| **one, max_size, 1, predict)
}

fn shared(limits: Limits, max_size: u32, times: Times, predict: bool) -> Driver<Arc<u32>> {
    let book = Book::new(None, limits.counts(), 3, times);
    Driver::new(book, Arc::new, |one| **one, max_size, 3, predict)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lends_whole_connections_as_the_model_does(ops in vec(op(), 1..120), max_size in 1..5u32) {
        let mut driver = whole(Limits::new(n(max_size)), max_size, quiet(), true);
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn lends_shared_connections_as_the_model_does(ops in vec(op(), 1..120), max_size in 1..4u32) {
        let mut driver = shared(Limits::new(n(max_size)), max_size, quiet(), true);
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn lends_each_connection_to_as_many_as_it_says(ops in vec(op(), 1..120), max_size in 1..4u32) {
        let mut driver = shared(Limits::new(n(max_size)), max_size, quiet(), true);
        driver.says = some_to_one;
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_whole_connections_whatever_happens(ops in vec(any_op(), 1..150), min_size in 0..3u32) {
        let limits = Limits::new(n(3)).with_min_size(min_size).unwrap();
        let mut driver = whole(limits, 3, busy(), false);
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_shared_connections_whatever_happens(ops in vec(any_op(), 1..150), min_size in 0..3u32) {
        let limits = Limits::new(n(3)).with_min_size(min_size).unwrap();
        let limits = limits.with_max_connecting(n(2));
        let mut driver = shared(limits, 3, busy(), false);
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_connections_that_differ_whatever_happens(ops in vec(any_op(), 1..150), min_size in 0..3u32) {
        let limits = Limits::new(n(3)).with_min_size(min_size).unwrap();
        let mut driver = shared(limits, 3, busy(), false);
        driver.says = some_to_one;
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_many_targets_whatever_happens(ops in vec(any_op(), 1..150)) {
        let limits = KeyedLimits::new(n(4), n(3)).unwrap();
        let book = Book::new(None, limits.counts(), 1, busy());
        let mut driver: Driver<Box<u32>> = Driver::new(book, Box::new, |one| **one, 4, 1, false);
        driver.add_lanes();
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_many_targets_with_shared_connections(ops in vec(any_op(), 1..150)) {
        let limits = KeyedLimits::new(n(3), n(2)).unwrap();
        let book = Book::new(None, limits.counts(), 2, busy());
        let mut driver: Driver<Arc<u32>> = Driver::new(book, Arc::new, |one| **one, 3, 2, false);
        driver.add_lanes();
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }

    #[test]
    fn accounts_for_many_targets_with_connections_that_differ(ops in vec(any_op(), 1..150)) {
        let limits = KeyedLimits::new(n(3), n(2)).unwrap();
        let book = Book::new(None, limits.counts(), 2, busy());
        let mut driver: Driver<Arc<u32>> = Driver::new(book, Arc::new, |one| **one, 3, 2, false);
        driver.says = some_to_one;
        driver.add_lanes();
        ops.iter().for_each(|op| driver.run(op));
        driver.end();
    }
}
