use std::error::Error;
use std::time::Duration;

use mainstay_conn_pool::{
    AcquireError, Backoff, ConnectAborted, ConnectTimedOut, Limits, PoolLayer, Times,
};
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_test::{assert_pending, task};
use tower::Layer;

use crate::support::{Backend, Refused, ms, n, pool, pool_with, s, settle};

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_leave_what_they_began() {
    let backend = Backend::default();
    backend.state().connect_for = ms(100);
    let pool = pool(&backend, 1);
    for _ in 0..20 {
        let begun = timeout(ms(50), pool.acquire()).await;
        if let Ok(lease) = begun {
            drop(lease.unwrap());
        }
    }
    assert_eq!(backend.state().attempts, 1);
    assert_eq!(backend.state().made, 1);
    assert!(pool.try_acquire().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_connector_costs_no_place() {
    let backend = Backend::default();
    backend.state().panics = true;
    let pool = pool(&backend, 2);
    for _ in 0..3 {
        let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
            panic!("not down")
        };
        let cause = error.source().unwrap();
        assert!(cause.downcast_ref::<ConnectAborted>().unwrap().panicked());
        assert_eq!(cause.to_string(), "connecting panicked");
    }
    assert_eq!(pool.snapshot().sizes, Default::default());
    backend.state().panics = false;
    let a = pool.acquire().await.unwrap();
    let b = pool.acquire().await.unwrap();
    assert_eq!([a.id, b.id], [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_at_once_with_its_cause() {
    let backend = Backend::default();
    backend.state().refuses = Some("wrong password");
    let pool = PoolLayer::new(Limits::new(n(2)))
        .with_name("db")
        .with_backoff(|| std::iter::repeat(ms(300)))
        .layer(backend.clone());
    let begun = Instant::now();
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("not down")
    };
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(error.name(), Some("db"));
    assert_eq!(error.retry_in(), ms(300));
    assert_eq!(
        error.to_string(),
        "backend of db is down, next try in 300ms"
    );
    let cause = error.source().unwrap().downcast_ref::<Refused>().unwrap();
    assert_eq!(cause.0, "wrong password");
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.name.as_deref(), Some("db"));
    assert_eq!((snapshot.failed, snapshot.refused), (1, 1));
    assert!(snapshot.last_failure().unwrap().is::<Refused>());
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_it_fails_waits_for_the_next_try() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = pool(&backend, 2);
    pool.acquire().await.unwrap_err();
    backend.state().refuses = None;
    let begun = Instant::now();
    pool.acquire().await.unwrap();
    assert_eq!(begun.elapsed(), ms(100), "one backoff");
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_for_too_long_is_refused_at_once() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = PoolLayer::new(Limits::new(n(2)))
        .with_backoff(|| std::iter::repeat(s(10)))
        .layer(backend.clone());
    pool.acquire().await.unwrap_err();
    backend.state().refuses = None;
    advance(s(3)).await;
    let begun = Instant::now();
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("not down")
    };
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(error.retry_in(), s(7));
    advance(ms(6500)).await;
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("not down")
    };
    assert_eq!(
        error.retry_in(),
        ms(500),
        "it has been down for longer than one waits"
    );
    advance(ms(500)).await;
    let lease = pool.acquire().await;
    lease.expect("who comes when it is due has it tried");
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_tries_whether_it_works_again() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    backend.state().refuses = Some("down");
    let pool = pool(&backend, 8);
    let users = (0..8).map(|_| pool.acquire());
    let refused = futures_util::future::join_all(users).await;
    assert!(refused.iter().all(Result::is_err));
    assert_eq!(backend.state().attempts, 8);
    let users: Vec<_> = (0..8)
        .map(|_| tokio::spawn(pool.clone().acquire_owned()))
        .collect();
    sleep(ms(105)).await;
    assert_eq!(backend.state().attempts, 9);
    backend.state().refuses = None;
    let leases = futures_util::future::join_all(users).await;
    assert!(leases.iter().all(|it| it.as_ref().unwrap().is_ok()));
    assert_eq!(backend.state().attempts, 16, "then all are made at once");
}

#[tokio::test(start_paused = true)]
async fn those_that_fail_together_are_one_failure() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    backend.state().refuses = Some("down");
    let pool = PoolLayer::new(Limits::new(n(8)))
        .with_backoff(|| [ms(100), s(100)].into_iter())
        .layer(backend.clone());
    let users = (0..8).map(|_| pool.acquire());
    futures_util::future::join_all(users).await;
    backend.state().refuses = None;
    let begun = Instant::now();
    pool.acquire().await.unwrap();
    assert_eq!(begun.elapsed(), ms(110));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_begun_before_another_failed_says_nothing_new() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    backend.state().slower_by = ms(30);
    backend.state().refuses = Some("down");
    let pool = PoolLayer::new(Limits::new(n(2)))
        .with_backoff(|| [ms(100), s(100)].into_iter())
        .layer(backend.clone());
    let refused = futures_util::future::join(pool.acquire(), pool.acquire()).await;
    assert!(refused.0.is_err() && refused.1.is_err());
    sleep(ms(20)).await;
    assert_eq!(pool.snapshot().failed, 2);
    backend.state().refuses = None;
    backend.state().slower_by = ms(0);
    let begun = Instant::now();
    pool.acquire().await.unwrap();
    assert_eq!(begun.elapsed(), ms(60), "a hundred since the first failed");
}

#[tokio::test(start_paused = true)]
async fn delays_that_end_are_repeated_and_begin_anew_after_a_success() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = PoolLayer::new(Limits::new(n(1)).with_min_size(1).unwrap())
        .with_backoff(|| [ms(10), ms(200)].into_iter())
        .layer(backend.clone());
    sleep(ms(5)).await;
    let mut attempts = Vec::new();
    for wait in [ms(10), ms(200), ms(200), ms(200)] {
        attempts.push(backend.state().attempts);
        sleep(wait).await;
    }
    assert_eq!(attempts, [1, 2, 3, 4]);
    backend.state().refuses = None;
    sleep(ms(200)).await;
    assert_eq!(pool.snapshot().sizes.idle, 1);
    sleep(s(2)).await;
    backend.state().refuses = Some("down again");
    pool.acquire().await.unwrap().mark_broken();
    let before = backend.state().attempts;
    sleep(ms(15)).await;
    assert_eq!(backend.state().attempts, before + 2);
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_delays_it_is_a_second() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let limits = Limits::new(n(1)).with_min_size(1).unwrap();
    let _pool = PoolLayer::new(limits)
        .with_backoff(std::iter::empty::<Duration>)
        .layer(backend.clone());
    sleep(ms(4500)).await;
    assert_eq!(backend.state().attempts, 5);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_about_is_given_up() {
    let backend = Backend::default();
    backend.state().connect_for = s(100);
    let times = Times::new().with_connect_within(s(2)).unwrap();
    let pool = pool_with(&backend, Limits::new(n(1)), times);
    let begun = Instant::now();
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("not down")
    };
    assert_eq!(begun.elapsed(), s(2));
    let cause = error.source().unwrap().downcast_ref::<ConnectTimedOut>();
    assert_eq!(cause.unwrap().within(), s(2));
    assert_eq!(backend.state().live, 0);
}

#[tokio::test(start_paused = true)]
async fn while_it_hangs_after_failing_callers_are_told_within_their_bound() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = pool(&backend, 1);
    pool.acquire().await.unwrap_err();
    backend.state().connect_for = s(30);
    sleep(ms(200)).await;
    let begun = Instant::now();
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("not down")
    };
    assert_eq!(begun.elapsed(), s(1));
    assert_eq!(error.retry_in(), Duration::ZERO, "it is being tried");
}

#[tokio::test(start_paused = true)]
async fn while_another_is_lent_a_failure_is_no_refusal() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    let lease = pool.acquire().await.unwrap();
    backend.state().refuses = Some("too many clients");
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    sleep(s(3)).await;
    assert_pending!(waiter.poll());
    drop(lease);
    waiter.await.unwrap();
    let _lease = pool.acquire().await.unwrap();
    let Err(AcquireError::TimedOut(error)) = pool.acquire().await else {
        panic!("not timed out")
    };
    assert_eq!(
        error.source().unwrap().to_string(),
        "too many clients",
        "it says why there is no second"
    );
}

#[tokio::test(start_paused = true)]
async fn connects_no_more_at_once_than_it_may() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    let limits = Limits::new(n(10)).with_max_connecting(n(2));
    let pool = pool_with(&backend, limits, Times::new());
    let begun = Instant::now();
    let users = (0..10).map(|_| pool.acquire());
    let watch = async {
        sleep(ms(5)).await;
        assert_eq!(pool.snapshot().sizes.connecting, 2);
    };
    let (leases, ()) = tokio::join!(futures_util::future::join_all(users), watch);
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(begun.elapsed(), ms(50));
}

#[tokio::test(start_paused = true)]
async fn begins_no_more_than_are_waited_for() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    let pool = pool(&backend, 10);
    let users = (0..3).map(|_| pool.acquire());
    futures_util::future::join_all(users).await;
    assert_eq!(backend.state().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn warming_up_waits_for_the_minimum_or_tells_why_not() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    let limits = Limits::new(n(5)).with_min_size(3).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    let begun = Instant::now();
    pool.warm_up().await.unwrap();
    assert_eq!(begun.elapsed(), ms(10));
    assert_eq!(pool.snapshot().sizes.idle, 3);

    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = pool_with(&backend, limits, Times::new());
    let error = timeout(ms(1), pool.warm_up()).await.unwrap().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "down");
    backend.state().refuses = None;
    sleep(ms(150)).await;
    pool.warm_up().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_minimum_is_kept_without_being_asked_for() {
    let backend = Backend::default();
    let limits = Limits::new(n(10)).with_min_size(5).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    settle().await;
    assert_eq!(pool.snapshot().sizes.idle, 5);
    for _ in 0..5 {
        pool.acquire().await.unwrap().mark_broken();
    }
    settle().await;
    assert_eq!(pool.snapshot().sizes.idle, 5);
    assert!(backend.state().made >= 6);
}

#[test]
fn delays_double_up_to_the_last() {
    assert!(Backoff::new(ms(0), ms(1)).is_err());
    assert!(Backoff::new(ms(2), ms(1)).is_err());
    let most = |index: usize| {
        let delays = (0..1000).map(|_| Backoff::new(ms(100), ms(450)).unwrap().nth(index).unwrap());
        delays.max().unwrap()
    };
    for (index, limit) in [
        (0, ms(100)),
        (1, ms(200)),
        (2, ms(400)),
        (3, ms(450)),
        (9, ms(450)),
    ] {
        let most = most(index);
        assert!(most <= limit && most > limit / 10 * 9, "{index}: {most:?}");
    }
}
