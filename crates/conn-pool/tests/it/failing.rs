//! Who is told that connecting fails, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_conn_pool::{AcquireError, Limits, Pool, PoolLayer, Times};
use tokio::time::{Instant, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, service_fn};

use crate::support::{Backend, Conn, Refused, ms, n, pool_with, s, settle};

/// A pool whose attempts take as long as it says, and fail if it says so; then all is well.
fn scripted(
    backend: &Backend,
    max_size: u32,
    retry_after: Duration,
    script: &'static [(u64, bool)],
) -> Pool<Conn> {
    scripted_within(backend, Limits::new(n(max_size)), retry_after, script)
}

fn scripted_within(
    backend: &Backend,
    limits: Limits,
    retry_after: Duration,
    script: &'static [(u64, bool)],
) -> Pool<Conn> {
    let attempts = Arc::new(AtomicU32::new(0));
    let backend = backend.clone();
    let connector = service_fn(move |()| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        let mut backend = backend.clone();
        async move {
            let script = script.get(attempt as usize);
            let &(millis, works) = script.unwrap_or(&(1, true));
            sleep(ms(millis)).await;
            if !works {
                return Err(Refused("too many clients"));
            }
            Service::<()>::call(&mut backend, ()).await
        }
    });
    PoolLayer::new(limits)
        .with_backoff(move || std::iter::repeat(retry_after))
        .layer(connector)
}

#[tokio::test(start_paused = true)]
async fn one_failure_among_many_is_told_to_one() {
    let backend = Backend::default();
    let script = &[(10, true), (10, true), (1, false), (10, true), (10, true)];
    let pool = scripted(&backend, 5, s(10), script);
    let outcomes = join_all((0..5).map(|_| pool.acquire())).await;
    let refused: Vec<_> = (0..5).filter(|&it| outcomes[it].is_err()).collect();
    assert_eq!(refused, [4], "the last of them");
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_one_after_another_each_is_told_with_one_of_them() {
    let backend = Backend::default();
    let script = &[(10, false), (20, false), (30, false), (40, false)];
    let pool = scripted(&backend, 4, s(10), script);
    let begun = Instant::now();
    let told = join_all((0..4).map(|_| async {
        assert!(matches!(
            pool.acquire().await,
            Err(AcquireError::BackendDown(_))
        ));
        begun.elapsed()
    }));
    assert_eq!(told.await, [ms(40), ms(30), ms(20), ms(10)]);
}

#[tokio::test(start_paused = true)]
async fn when_one_is_slow_and_the_others_failed_callers_wait_no_longer_than_their_bound() {
    let backend = Backend::default();
    let script = &[(30_000, true), (10, false)];
    let pool = scripted(&backend, 2, s(20), script);
    let begun = Instant::now();
    let outcomes = join_all((0..2).map(|_| pool.acquire())).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(begun.elapsed(), s(1));
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_failure_is_not_refused_for_those_begun_before_it() {
    let backend = Backend::default();
    let script = &[(10, false), (30, false)];
    let pool = scripted(&backend, 2, ms(100), script);
    let mut first = task::spawn(pool.acquire());
    let mut second = task::spawn(pool.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    sleep(ms(20)).await;
    assert!(assert_ready!(second.poll()).is_err());
    let mut late = task::spawn(pool.acquire());
    let mut later = task::spawn(pool.acquire());
    assert_pending!(late.poll());
    assert_pending!(later.poll());
    sleep(ms(20)).await;
    assert!(assert_ready!(first.poll()).is_err());
    let begun = Instant::now();
    late.await.unwrap();
    later.await.unwrap();
    assert_eq!(begun.elapsed(), ms(71), "with the next try");
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_failure_gets_what_is_still_coming() {
    let backend = Backend::default();
    let script = &[(10, false), (30, true)];
    let pool = scripted(&backend, 2, s(10), script);
    let mut first = task::spawn(pool.acquire());
    let mut second = task::spawn(pool.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    sleep(ms(20)).await;
    assert!(assert_ready!(second.poll()).is_err());
    let mut third = task::spawn(pool.acquire());
    assert!(assert_ready!(third.poll()).is_err(), "it is the first's");
    drop(first);
    let begun = Instant::now();
    pool.acquire().await.unwrap();
    assert_eq!(begun.elapsed(), ms(10));
}

/// As plugin instances are lent: one that comes is enough for all.
#[tokio::test(start_paused = true)]
async fn of_shared_ones_one_that_is_coming_is_enough_for_all() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(2).unwrap();
    let pool = PoolLayer::new(limits)
        .shared(n(100))
        .with_backoff(|| std::iter::repeat(s(10)))
        .layer(backend.clone());
    pool.warm_up().await.unwrap();
    sleep(s(5)).await;
    backend.state().connect_for = ms(100);
    backend.state().slower_by = ms(200);
    backend.state().refuses = Some("port in use");
    backend.crash();
    let users: Vec<_> = (0..10)
        .map(|_| tokio::spawn(pool.clone().acquire_owned()))
        .collect();
    while pool.snapshot().failed == 0 {
        sleep(ms(10)).await;
    }
    backend.state().refuses = None;
    for user in users {
        assert!(user.await.unwrap().is_ok());
    }
    assert_eq!(pool.snapshot().failed, 1);

    // With none that comes, all are told at once.
    backend.state().refuses = Some("port in use");
    backend.crash();
    let refused = join_all((0..10).map(|_| pool.acquire()));
    let refused = timeout(s(2), refused).await.unwrap();
    assert!(refused.iter().all(Result::is_err));
    assert_eq!(pool.snapshot().timed_out, 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_patience_makes_the_try_that_is_due_though_refused() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let times = Times::new().with_fail_fast_after(ms(0));
    let pool = pool_with(&backend, Limits::new(n(2)), times);
    pool.acquire().await.unwrap_err();
    backend.state().refuses = None;
    pool.acquire().await.unwrap_err();
    assert_eq!(backend.state().attempts, 1, "none is due");
    sleep(ms(100)).await;
    pool.acquire().await.unwrap_err();
    settle().await;
    assert_eq!(backend.state().attempts, 2);
    pool.acquire().await.unwrap();
}

/// However long an attempt takes that is under way.
#[tokio::test(start_paused = true)]
async fn once_connecting_has_failed_for_the_bound_nobody_waits_for_the_next_attempt() {
    let backend = Backend::default();
    let script = &[
        (300, false),
        (300, false),
        (300, false),
        (300, false),
        (300, false),
    ];
    let limits = Limits::new(n(1)).with_min_size(1).unwrap();
    let pool = scripted_within(&backend, limits, ms(10), script);
    let begun = Instant::now();
    let mut refused_in = Vec::new();
    while begun.elapsed() < s(3) {
        let asked = Instant::now();
        match pool.acquire().await {
            Ok(_) => break,
            Err(AcquireError::BackendDown(_)) => {
                refused_in.push((begun.elapsed(), asked.elapsed()));
            }
            Err(other) => panic!("{other}"),
        }
        sleep(ms(1)).await;
    }
    // The first failure is at 300 ms.
    let late = refused_in.iter().filter(|(at, _)| *at > ms(1_310));
    assert!(late.clone().count() > 100, "{refused_in:?}");
    assert!(
        late.clone().all(|(_, took)| *took <= ms(1)),
        "{refused_in:?}"
    );
    assert_eq!(backend.state().made, 1, "and it is tried");
    assert!(begun.elapsed() < s(2), "it recovers");
}
