use std::error::Error;

use mainstay_conn_pool::{
    AcquireError, CloseReason, Lease, Limits, Pool, PoolLayer, Shared, Times,
};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::Layer;

use crate::support::{Backend, Conn, ms, n, s, settle};

fn shared(
    backend: &Backend,
    limits: Limits,
    max_leases: u32,
    times: Times,
) -> Pool<Conn, (), Shared> {
    PoolLayer::new(limits)
        .shared(n(max_leases))
        .with_times(times)
        .with_backoff(|| std::iter::repeat(ms(100)))
        .layer(backend.clone())
}

fn ids(leases: &[Lease<'_, Conn, Shared>]) -> Vec<u32> {
    leases.iter().map(|lease| lease.id).collect()
}

#[tokio::test(start_paused = true)]
async fn the_least_loaded_is_lent_first() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(3).unwrap();
    let pool = shared(&backend, limits, 10, Times::new());
    pool.warm_up().await.unwrap();
    let mut leases = Vec::new();
    for _ in 0..9 {
        leases.push(pool.acquire().await.unwrap());
    }
    for id in 0..3 {
        assert_eq!(ids(&leases).iter().filter(|it| **it == id).count(), 3);
    }
    leases.retain(|lease| lease.id != 1);
    let next = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    assert_eq!(ids(&next), [1, 1]);
    assert_eq!(pool.snapshot().leases, 8);
    assert_eq!(pool.snapshot().sizes.lent, 3);
}

#[tokio::test(start_paused = true)]
async fn another_is_made_only_when_all_are_full() {
    let backend = Backend::default();
    let pool = shared(&backend, Limits::new(n(2)), 2, Times::new());
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.acquire().await.unwrap());
    }
    assert_eq!(ids(&leases), [0, 0, 1, 1]);
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    drop(leases.remove(1));
    assert!(waiter.is_woken());
    assert_eq!(assert_ready!(waiter.poll()).unwrap().id, 0);
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_made_for_many_who_wait() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    let pool = shared(&backend, Limits::new(n(10)), 100, Times::new());
    let users = (0..100).map(|_| pool.acquire());
    let leases = futures_util::future::join_all(users).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(backend.state().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_another_when_the_first_says_that_it_is_for_one() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    backend.state().unshared = true;
    let pool = shared(&backend, Limits::new(n(10)), 100, Times::new());
    let users = |number| futures_util::future::join_all((0..number).map(|_| pool.acquire()));
    let begun = Instant::now();
    let leases: Vec<_> = users(9).await.into_iter().map(Result::unwrap).collect();
    let mut ids = ids(&leases);
    ids.sort();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        begun.elapsed(),
        ms(20),
        "all but the first are made at once"
    );

    // What was made last is expected of the next.
    drop(leases);
    pool.retire_all();
    settle().await;
    let begun = Instant::now();
    let leases = users(9).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(begun.elapsed(), ms(10));
}

#[tokio::test(start_paused = true)]
async fn each_is_lent_to_as_many_as_it_said_when_it_was_made() {
    let backend = Backend::default();
    backend.state().unshared = true;
    let pool = shared(&backend, Limits::new(n(2)), 2, Times::new());
    let one = pool.acquire().await.unwrap();
    backend.state().unshared = false;
    let two = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    assert_eq!((one.id, ids(&two)), (0, vec![1, 1]));
    assert!(pool.try_acquire().is_none());
    drop(one);
    assert_eq!(pool.try_acquire().unwrap().id, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_when_it_is_asked_for_how_many_it_is_was_not_made() {
    let backend = Backend::default();
    backend.state().panics_when_made = true;
    let pool = shared(&backend, Limits::new(n(1)), 2, Times::new());
    let Err(AcquireError::BackendDown(error)) = pool.acquire().await else {
        panic!("it has none");
    };
    assert_eq!(error.source().unwrap().to_string(), "connecting panicked");
    backend.state().panics_when_made = false;
    sleep(ms(200)).await;
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert_eq!(backend.state().peak, 1);
}

#[tokio::test(start_paused = true)]
async fn any_lease_can_say_that_it_is_broken_for_all() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(2).unwrap();
    let pool = shared(&backend, limits, 10, Times::new());
    pool.warm_up().await.unwrap();
    let mut leases = Vec::new();
    for _ in 0..6 {
        leases.push(pool.acquire().await.unwrap());
    }
    let broken = leases[0].id;
    leases[0].mark_broken();
    for _ in 0..10 {
        assert_ne!(pool.acquire().await.unwrap().id, broken);
    }
    settle().await;
    assert_eq!(
        backend.state().made,
        2,
        "its place is taken until it drained"
    );
    assert!(backend.state().closed.is_empty());
    leases.retain(|lease| lease.id != broken);
    settle().await;
    assert_eq!(backend.state().closed, [broken]);
    assert_eq!(backend.state().made, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_says_it_is_broken_is_not_lent_further() {
    let backend = Backend::default();
    let pool = shared(&backend, Limits::new(n(2)), 10, Times::new());
    let held = pool.acquire().await.unwrap();
    backend.crash();
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    drop(held);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_means_that_nobody_has_it() {
    let backend = Backend::default();
    let times = Times::new().with_idle_for(s(10)).unwrap();
    let pool = shared(&backend, Limits::new(n(2)), 10, times);
    let a = pool.acquire().await.unwrap();
    let b = pool.acquire().await.unwrap();
    sleep(s(20)).await;
    drop(a);
    sleep(s(20)).await;
    assert_eq!(pool.snapshot().sizes.lent, 1);
    drop(b);
    assert_eq!(pool.snapshot().sizes.idle, 1);
    sleep(s(11)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::Idle), 1);
}

#[tokio::test(start_paused = true)]
async fn those_in_use_are_kept_alive_too() {
    let backend = Backend::default();
    let times = Times::new().with_keep_alive(s(10)).unwrap();
    let pool = shared(&backend, Limits::new(n(2)), 10, times);
    let lease = pool.acquire().await.unwrap();
    for _ in 0..5 {
        sleep(s(4)).await;
        // That calls go well is no sign that the next does.
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(backend.state().checks, 2);
    backend.die();
    sleep(s(10)).await;
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    drop(lease);
    assert_eq!(pool.snapshot().closed(CloseReason::CheckFailed), 1);
}

#[tokio::test(start_paused = true)]
async fn one_is_lent_while_it_is_kept_alive() {
    let backend = Backend::default();
    backend.state().check_for = ms(900);
    let times = Times::new().with_keep_alive(s(10)).unwrap();
    let pool = shared(&backend, Limits::new(n(1)), 10, times);
    let _held = pool.acquire().await.unwrap();
    while backend.state().checks_at_once == 0 {
        sleep(ms(100)).await;
    }
    let mut user = task::spawn(pool.acquire());
    assert_ready!(user.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_drains_the_old_and_serves_on_the_new() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(1).unwrap();
    let pool = shared(&backend, limits, 10, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().connect_for = s(1);
    let old = pool.acquire().await.unwrap();
    pool.replace_all();
    sleep(ms(500)).await;
    assert_eq!(
        pool.acquire().await.unwrap().id,
        0,
        "until the new one is ready"
    );
    sleep(ms(600)).await;
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert!(backend.state().closed.is_empty());
    drop(old);
    settle().await;
    assert_eq!(backend.state().closed, [0]);
    assert_eq!(backend.state().peak, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 1);
}

#[tokio::test(start_paused = true)]
async fn one_without_a_minimum_is_replaced_while_it_is_in_use() {
    let backend = Backend::default();
    let pool = shared(&backend, Limits::new(n(2)), 10, Times::new());
    let old = pool.acquire().await.unwrap();
    backend.state().connect_for = s(1);
    pool.replace_all();
    sleep(ms(1100)).await;
    assert_eq!(pool.try_acquire().unwrap().id, 1, "it is ready");
    drop(old);
    settle().await;
    assert_eq!(backend.state().closed, [0]);
}

#[tokio::test(start_paused = true)]
async fn made_smaller_the_least_loaded_go_first() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(1).unwrap();
    let pool = shared(&backend, limits, 2, Times::new());
    let mut leases = Vec::new();
    for _ in 0..6 {
        leases.push(pool.acquire().await.unwrap());
    }
    assert_eq!(ids(&leases), [0, 0, 1, 1, 2, 2]);
    drop(leases.remove(3));
    pool.resize(n(2)).unwrap();
    assert!(
        pool.try_acquire().is_none(),
        "the one with room is lent no more"
    );
    assert_eq!(
        (pool.snapshot().sizes.lent, pool.snapshot().max_size),
        (3, 2)
    );
    leases.retain(|lease| lease.id != 1);
    settle().await;
    assert_eq!(backend.state().closed, [1]);
    assert_eq!(pool.snapshot().closed(CloseReason::Surplus), 1);
    pool.resize(n(1)).unwrap();
    drop(leases);
    settle().await;
    assert_eq!((pool.snapshot().sizes.idle, backend.state().made), (1, 3));
    assert_eq!(pool.snapshot().closed(CloseReason::Surplus), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_drain_in_time_is_aborted() {
    let backend = Backend::default();
    let times = Times::new().with_drain_within(s(5));
    let limits = Limits::new(n(1)).with_min_size(1).unwrap();
    let pool = shared(&backend, limits, 10, times);
    let stuck = pool.acquire().await.unwrap();
    pool.retire_all();
    sleep(ms(4900)).await;
    assert!(backend.state().aborted.is_empty());
    assert_eq!(backend.state().made, 1);
    sleep(ms(200)).await;
    assert_eq!(backend.state().aborted, [0]);
    assert_eq!(backend.state().made, 2, "it is not counted any more");
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert_eq!((stuck.id, backend.state().live), (0, 2));
    drop(stuck);
    assert_eq!(backend.state().live, 1);
    assert_eq!(pool.snapshot().leases, 0);
}

#[tokio::test(start_paused = true)]
async fn with_none_left_callers_wait_for_the_restart_or_hear_that_it_failed() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(1).unwrap();
    let pool = shared(&backend, limits, 10, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().connect_for = ms(60);
    // A crash that is survived.
    pool.acquire().await.unwrap().mark_broken();
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    // One that is not.
    backend.state().refuses = Some("crashes at once");
    pool.acquire().await.unwrap().mark_broken();
    let begun = tokio::time::Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(
        error,
        mainstay_conn_pool::AcquireError::BackendDown(_)
    ));
    assert_eq!(begun.elapsed(), ms(60));
    backend.state().refuses = None;
    assert_eq!(pool.acquire().await.unwrap().id, 2);
    assert_eq!(begun.elapsed(), ms(220), "one backoff and one start");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_unfit_is_not_lent_again_and_is_no_sign_of_trouble() {
    let backend = Backend::default();
    backend.state().connect_for = ms(1);
    let pool = shared(&backend, Limits::new(n(1)), 2, Times::new());
    for id in 0..5 {
        let lease = pool.acquire().await.unwrap();
        assert_eq!(lease.id, id);
        sleep(ms(10)).await;
        lease.mark_unfit();
    }
    assert_eq!(pool.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_with_its_last_answer_was_made_all_the_same() {
    let backend = Backend::default();
    backend.state().connect_for = ms(1);
    let pool = shared(&backend, Limits::new(n(1)), 2, Times::new());
    for id in 0..5 {
        let lease = pool.acquire().await.unwrap();
        assert_eq!(lease.id, id);
        sleep(ms(10)).await;
        backend.crash();
        lease.mark_useful();
    }
    assert_eq!(pool.snapshot().failed, 0);
}
