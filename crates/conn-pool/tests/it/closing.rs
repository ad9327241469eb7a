use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_conn_pool::{AcquireError, CloseReason, Connection, Limits, PoolLayer, Times};
use tokio::time::{Instant, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, service_fn};

use crate::support::{Backend, ms, n, pool, pool_with, s, settle};

#[tokio::test(start_paused = true)]
async fn closed_tells_all_who_wait_and_all_who_come() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    pool.close();
    assert!(waiter.is_woken());
    assert!(matches!(
        assert_ready!(waiter.poll()),
        Err(AcquireError::Closed(_))
    ));
    assert!(matches!(pool.acquire().await, Err(AcquireError::Closed(_))));
    assert!(pool.try_acquire().is_none());
    assert!(pool.is_closed());
    drop(lease);
    settle().await;
    assert_eq!(backend.state().closed, [0]);
    assert_eq!(pool.snapshot().closed(CloseReason::Closed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_closed_says_its_name() {
    let pool = PoolLayer::new(Limits::new(n(1)))
        .with_name("db")
        .layer(Backend::default());
    pool.close();
    let Err(AcquireError::Closed(error)) = pool.acquire().await else {
        panic!("not closed")
    };
    assert_eq!(error.name(), Some("db"));
    assert_eq!(error.to_string(), "pool of db is closed");
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_those_who_have_one() {
    let backend = Backend::default();
    backend.state().close_for = ms(20);
    let pool = pool(&backend, 2);
    let lease = pool.clone().acquire_owned().await.unwrap();
    drop(pool.acquire().await.unwrap());
    tokio::spawn(async move {
        sleep(ms(100)).await;
        drop(lease);
    });
    let begun = Instant::now();
    pool.drain(s(5)).await.unwrap();
    assert_eq!(begun.elapsed(), ms(120));
    assert_eq!(backend.state().live, 0);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_at_its_time_and_says_what_was_left() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    let lease = pool.acquire().await.unwrap();
    let begun = Instant::now();
    let error = pool.drain(s(2)).await.unwrap_err();
    assert_eq!((begun.elapsed(), error.sizes().lent), (s(2), 1));
    drop(lease);
    settle().await;
    assert_eq!(backend.state().closed, [0]);

    let shared = PoolLayer::new(Limits::new(n(1)))
        .shared(n(5))
        .layer(backend.clone());
    let lease = shared.acquire().await.unwrap();
    shared.drain(s(2)).await.unwrap_err();
    settle().await;
    assert_eq!(backend.state().aborted, [1]);
    assert_eq!(shared.snapshot().sizes, Default::default());
    drop(lease);
    assert_eq!(backend.state().live, 0);
}

#[tokio::test(start_paused = true)]
async fn closing_one_takes_no_longer_than_it_may() {
    let backend = Backend::default();
    backend.state().close_for = s(1000);
    let pool = pool(&backend, 1);
    drop(pool.acquire().await.unwrap());
    let begun = Instant::now();
    pool.drain(s(60)).await.unwrap();
    assert_eq!(begun.elapsed(), s(5));
    assert_eq!(backend.state().live, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_pool_and_ends_its_task() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    let lease = pool.clone().acquire_owned().await.unwrap();
    drop(pool.acquire().await.unwrap());
    drop(pool);
    settle().await;
    assert_eq!(backend.state().closed, [1]);
    drop(lease);
    settle().await;
    assert_eq!(backend.state().closed, [1, 0]);
    let alive = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(alive, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_made_when_the_pool_closes_is_given_up() {
    let backend = Backend::default();
    backend.state().connect_for = s(50);
    let pool = pool(&backend, 2);
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    settle().await;
    assert_eq!(pool.snapshot().sizes.connecting, 1);
    let begun = Instant::now();
    pool.drain(s(20)).await.unwrap();
    assert_eq!(begun.elapsed(), ms(0));
    assert!(assert_ready!(waiter.poll()).is_err());
    assert_eq!(backend.state().made, 0);
    assert_eq!(backend.state().live, 0);
    assert_eq!(pool.snapshot().failed, 0);
    let alive = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(alive, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_not_full_can_be_made_smaller() {
    let backend = Backend::default();
    let pool = pool(&backend, 10);
    pool.resize(n(5)).unwrap();
    let mut users: Vec<_> = (0..10).map(|_| task::spawn(pool.acquire())).collect();
    for user in &mut users {
        assert_pending!(user.poll());
    }
    settle().await;
    assert_eq!(users.iter().filter(|it| it.is_woken()).count(), 5);
    drop(users);
    for _ in 0..3 {
        pool.resize(n(5)).unwrap();
        pool.resize(n(10)).unwrap();
    }
    let mut users: Vec<_> = (0..25).map(|_| task::spawn(pool.acquire())).collect();
    let held: Vec<_> = users.iter_mut().map(|user| user.poll()).collect();
    settle().await;
    assert_eq!(backend.state().peak, 10);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn made_smaller_it_gives_up_idle_ones_at_once_and_lent_ones_later() {
    let backend = Backend::default();
    let pool = pool(&backend, 6);
    let mut leases = Vec::new();
    for _ in 0..6 {
        leases.push(pool.acquire().await.unwrap());
    }
    leases.truncate(4);
    pool.resize(n(2)).unwrap();
    settle().await;
    assert_eq!(backend.state().live, 4);
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    leases.pop();
    leases.pop();
    settle().await;
    assert_eq!(backend.state().live, 2);
    assert!(!waiter.is_woken());
    leases.pop();
    assert!(waiter.is_woken());
    settle().await;
    assert_eq!((backend.state().live, pool.snapshot().max_size), (2, 2));
    assert_eq!(pool.snapshot().closed(CloseReason::Surplus), 4);
}

#[tokio::test(start_paused = true)]
async fn made_larger_it_serves_who_waits() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let _lease = pool.acquire().await.unwrap();
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    pool.resize(n(2)).unwrap();
    settle().await;
    assert_ready!(waiter.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_cannot_be_made_smaller_than_its_minimum() {
    let backend = Backend::default();
    let limits = Limits::new(n(4)).with_min_size(3).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    assert!(pool.resize(n(2)).is_err());
    assert_eq!(pool.snapshot().max_size, 4);
}

#[test]
fn a_pool_whose_runtime_has_ended_is_closed_and_holds_nothing() {
    let backend = Backend::default();
    backend.state().connect_for = Duration::from_millis(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let pool = runtime.block_on(async {
        let pool = pool(&backend, 5);
        drop(pool.acquire().await.unwrap());
        let a = pool.acquire().await.unwrap();
        // One idle, one lent, one being made.
        drop(pool.acquire().await.unwrap());
        let mut never = task::spawn(pool.acquire());
        let _ = never.poll();
        drop((never, a));
        pool
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert!(pool.is_closed());
    assert_eq!(pool.snapshot().sizes, Default::default());
    assert_eq!(backend.state().live, 0);
}

#[test]
fn a_pool_whose_runtime_ends_before_its_task_begins_is_closed() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    };
    let ended = runtime();
    let pool = {
        let _entered = ended.enter();
        pool(&Backend::default(), 1)
    };
    drop(ended);
    assert!(pool.is_closed());
    // A real second, if it were to hang.
    let outcome = runtime().block_on(async { timeout(s(1), pool.acquire()).await });
    assert!(matches!(outcome, Ok(Err(AcquireError::Closed(_)))));
}

#[test]
fn what_did_not_drain_is_aborted_when_draining_returns() {
    let backend = Backend::default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let lease = runtime.block_on(async {
        let layer = PoolLayer::new(Limits::new(n(1))).shared(n(5));
        let pool = layer.layer(backend.clone());
        let lease = pool.clone().acquire_owned().await.unwrap();
        pool.drain(s(1)).await.unwrap_err();
        assert_eq!(backend.state().aborted, [0]);
        lease
    });
    drop(runtime);
    drop(lease);
    assert_eq!(backend.state().live, 0);
    assert_eq!(backend.state().aborted, [0], "once");
}

/// A connection whose abort takes its time.
struct Slow(Arc<AtomicBool>);

impl Connection for Slow {
    fn abort(&self) {
        // So that who drains has the time to be wrong.
        let begun = Instant::now();
        while begun.elapsed() < ms(50) {
            std::thread::yield_now();
        }
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn draining_waits_for_those_that_are_being_aborted() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let aborted = Arc::new(AtomicBool::new(false));
        let connector = {
            let aborted = aborted.clone();
            service_fn(move |()| std::future::ready(Ok::<_, String>(Slow(aborted.clone()))))
        };
        let pool = PoolLayer::new(Limits::new(n(1)))
            .shared(n(5))
            .with_times(Times::new().with_drain_within(ms(10)))
            .layer(connector);
        let lease = pool.acquire().await.unwrap();
        pool.drain(s(5)).await.unwrap();
        assert!(aborted.load(Ordering::Relaxed));
        drop(lease);
    });
}
