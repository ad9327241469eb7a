//! Accounting and hand-off under the schedules that a model checker comes up with.
//!
//! The files are the crate's own, over the checker's locks. A schedule in which somebody waits for
//! ever is reported as a deadlock.

mod sync;

#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../src/book/mod.rs"]
mod book;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/desk.rs"]
mod desk;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/error.rs"]
mod error;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/limits.rs"]
mod limits;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/times.rs"]
mod times;

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::panic::Location;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::{future, rand, thread};
use tokio::time::Instant;

use crate::book::{Book, Condition, Grant, Lend, ONLY};
use crate::desk::{Desk, Turn};
use crate::error::Cause;
use crate::limits::Limits;
use crate::times::Times;

const ITERATIONS: usize = 1000;

/// A connection, which counts itself.
struct Conn {
    users: AtomicU32,
    max_leases: u32,
    live: Arc<AtomicU32>,
}

struct Pool<R> {
    desk: Desk<R>,
    wrap: fn(Conn) -> R,
    conn: fn(&R) -> &Conn,
    max_size: u32,
    max_leases: u32,
    /// Every other connection is for one at a time, whatever the pool lends.
    mixed: bool,
    made: AtomicU32,
    live: Arc<AtomicU32>,
    /// Connecting may fail.
    fails: bool,
}

impl<R: Lend + Send + 'static> Pool<R> {
    fn new(
        max_size: u32,
        max_leases: u32,
        mixed: bool,
        fails: bool,
        wrap: fn(Conn) -> R,
        conn: fn(&R) -> &Conn,
    ) -> Arc<Self> {
        let limits = Limits::new(NonZeroU32::new(max_size).unwrap());
        let long = Duration::from_secs(24 * 3600);
        let times = Times::new()
            .with_acquire_within(long)
            .and_then(|times| times.with_idle_for(long))
            .and_then(|times| times.with_lifetime(long))
            .unwrap()
            .with_check_after_idle(long)
            .with_fail_fast_after(long);
        Arc::new(Self {
            desk: Desk::new(Book::new(None, limits.counts(), max_leases, times)),
            wrap,
            conn,
            max_size,
            max_leases,
            mixed,
            made: AtomicU32::new(0),
            live: Arc::new(AtomicU32::new(0)),
            fails,
        })
    }

    /// Waits for a lease; gives up after so many looks, if so many.
    fn acquire(&self, patience: Option<u32>) -> Option<Grant<R>> {
        let mut turn = Turn::default();
        let mut looks = 0;
        let granted = future::block_on(poll_fn(|cx| {
            if patience == Some(looks) {
                return Poll::Ready(None);
            }
            looks += 1;
            match turn.poll(&self.desk, ONLY, Location::caller(), cx) {
                Poll::Ready(outcome) => Poll::Ready(outcome.ok()),
                Poll::Pending => {
                    if patience == Some(looks) {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        }));
        turn.give_up(&self.desk);
        granted
    }

    fn enter_use(&self, grant: &Grant<R>) {
        let conn = (self.conn)(&grant.one);
        assert!(conn.users.fetch_add(1, Ordering::SeqCst) < conn.max_leases);
    }

    fn give_back(&self, grant: Grant<R>, broken: bool) {
        let users = &(self.conn)(&grant.one).users;
        users.fetch_sub(1, Ordering::SeqCst);
        let Grant { one, note, .. } = grant;
        // Where nothing fails, that is no sign of it: it would be refused what comes next.
        let condition = match (broken, self.fails) {
            (true, true) => Condition::Broken,
            (true, false) => Condition::Unfit,
            (false, _) => Condition::Good,
        };
        self.desk.give_back(note, one, condition, Instant::now());
        self.desk.read(|book| book.audit());
    }

    /// Connects, checks and closes, each in a thread of its own.
    fn keep_house(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let work = self.desk.enter(|book, fx| book.work(now, fx));
            for (slot, _) in work.connect {
                let pool = self.clone();
                thread::spawn(move || pool.connect(slot));
            }
            for goner in work.close {
                let pool = self.clone();
                thread::spawn(move || {
                    let slot = goner.slot;
                    drop(goner);
                    pool.desk.enter(|book, fx| book.closed(slot, fx));
                });
            }
            for checkup in work.check {
                let pool = self.clone();
                thread::spawn(move || {
                    let passed = !pool.fails || rand::thread_rng().gen_bool(0.7);
                    let (slot, one) = (checkup.slot, checkup.one);
                    let now = Instant::now();
                    pool.desk
                        .enter(|book, fx| book.checked(slot, one, passed, now, fx));
                });
            }
            self.sweep();
            for (lane, _) in work.failed {
                self.desk.enter(|book, fx| book.retry(lane, now, now, fx));
            }
            if work.over {
                return;
            }
            self.desk.bell.wait();
        }
    }

    /// More often than it is due.
    fn sweep(&self) {
        let mut from = 0;
        let soon = Instant::now() + Duration::from_secs(60);
        while let Some(question) = self.desk.read(|book| book.ask(from, soon)) {
            from = question.slot + 1;
            let users = &(self.conn)(&question.one).users;
            assert!(self.max_leases > 1 || users.load(Ordering::SeqCst) == 0);
            let broken = self.fails && rand::thread_rng().gen_bool(0.2);
            let now = Instant::now();
            self.desk
                .enter(|book, fx| book.answered(question, broken, now, fx));
        }
    }

    fn connect(&self, slot: u32) {
        let now = Instant::now();
        assert!(self.live.fetch_add(1, Ordering::SeqCst) < self.max_size);
        let nth = self.made.fetch_add(1, Ordering::SeqCst);
        let max_leases = match self.mixed && nth.is_multiple_of(2) {
            true => 1,
            false => self.max_leases,
        };
        let conn = Conn {
            users: AtomicU32::new(0),
            max_leases,
            live: self.live.clone(),
        };
        if self.fails && rand::thread_rng().gen_bool(0.3) {
            drop(conn);
            let cause: Cause = Arc::new(std::fmt::Error);
            self.desk
                .enter(|book, fx| book.failed(slot, cause, now, fx));
        } else {
            let one = (self.wrap)(conn);
            self.desk
                .enter(|book, fx| book.connected(slot, one, max_leases, 0.0, now, fx));
        }
    }

    fn end(&self) {
        self.desk.read(|book| {
            book.audit();
            assert!(book.is_drained());
            assert_eq!(book.unfetched(), 0);
        });
        assert_eq!(self.live.load(Ordering::SeqCst), 0);
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

fn whole(max_size: u32, fails: bool) -> Arc<Pool<Box<Conn>>> {
    Pool::new(max_size, 1, false, fails, Box::new, |one| one)
}

fn shared(max_size: u32, max_leases: u32, fails: bool) -> Arc<Pool<Arc<Conn>>> {
    Pool::new(max_size, max_leases, false, fails, Arc::new, |one| one)
}

fn mixed(max_size: u32, max_leases: u32, fails: bool) -> Arc<Pool<Arc<Conn>>> {
    Pool::new(max_size, max_leases, true, fails, Arc::new, |one| one)
}

fn check(scenario: fn()) {
    shuttle::check_random(scenario, ITERATIONS);
    shuttle::check_pct(scenario, ITERATIONS, 3);
}

/// Users of the pool, of which each says what it does with its turn.
fn run<R: Lend + Send + 'static>(
    pool: &Arc<Pool<R>>,
    users: Vec<Box<dyn FnOnce(&Pool<R>) + Send>>,
) {
    let housekeeper = {
        let pool = pool.clone();
        thread::spawn(move || pool.keep_house())
    };
    let users: Vec<_> = users
        .into_iter()
        .map(|user| {
            let pool = pool.clone();
            thread::spawn(move || user(&pool))
        })
        .collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    pool.desk.enter(|book, fx| book.close(Instant::now(), fx));
    housekeeper.join().unwrap();
    pool.end();
}

fn use_it<R: Lend + Send + 'static>(pool: &Pool<R>, patience: Option<u32>, broken: bool) {
    if let Some(grant) = pool.acquire(patience) {
        pool.enter_use(&grant);
        thread::yield_now();
        pool.give_back(grant, broken);
    }
}

#[test]
fn a_cancelled_wait_hands_on() {
    check(|| {
        let pool = whole(1, false);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, Some(1), false)),
                Box::new(|pool| use_it(pool, Some(2), false)),
                Box::new(|pool| {
                    let grant = pool.acquire(None).expect("it is there for all");
                    pool.enter_use(&grant);
                    pool.give_back(grant, false);
                }),
            ],
        );
    });
}

#[test]
fn a_broken_one_is_replaced_for_who_waits() {
    check(|| {
        let pool = whole(1, false);
        let user = || -> Box<dyn FnOnce(&Pool<Box<Conn>>) + Send> {
            Box::new(|pool| {
                let broken = rand::thread_rng().gen_bool(0.5);
                let grant = pool.acquire(None).expect("it is there for all");
                pool.enter_use(&grant);
                pool.give_back(grant, broken);
            })
        };
        run(&pool, vec![user(), user(), user()]);
    });
}

#[test]
fn failures_and_cancellations_cost_no_place() {
    check(|| {
        let pool = whole(2, true);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, true)),
                Box::new(|pool| use_it(pool, Some(1), false)),
                Box::new(|pool| {
                    use_it(pool, None, false);
                    use_it(pool, None, false);
                }),
            ],
        );
    });
}

#[test]
fn shared_ones_are_lent_to_no_more_than_may_have_them() {
    check(|| {
        let pool = shared(1, 2, true);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, Some(2), true)),
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| {
                    if let Some(grant) = pool.acquire(None) {
                        pool.enter_use(&grant);
                        let now = Instant::now();
                        pool.desk
                            .enter(|book, fx| book.report(grant.note, Condition::Broken, now, fx));
                        pool.give_back(grant, false);
                    }
                }),
            ],
        );
    });
}

#[test]
fn one_that_is_for_one_at_a_time_is_not_shared() {
    check(|| {
        let pool = mixed(2, 3, true);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, Some(2), true)),
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, None, false)),
            ],
        );
    });
}

#[test]
fn closing_tells_all_who_wait() {
    check(|| {
        let pool = whole(1, false);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| {
                    pool.desk.enter(|book, fx| book.close(Instant::now(), fx));
                }),
            ],
        );
    });
}

#[test]
fn a_smaller_maximum_is_kept() {
    check(|| {
        let pool = whole(2, false);
        run(
            &pool,
            vec![
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| use_it(pool, None, false)),
                Box::new(|pool| {
                    pool.desk
                        .enter(|book, fx| assert!(book.resize(1, Instant::now(), fx)));
                    use_it(pool, None, false);
                }),
            ],
        );
    });
}
