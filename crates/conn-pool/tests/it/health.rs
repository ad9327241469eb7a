use mainstay_conn_pool::{CloseReason, Limits, Pool, Times};
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_test::task;

use crate::support::{Backend, Conn, ms, n, pool, pool_with, s, settle};

/// So many connections, idle for two seconds.
async fn idle(backend: &Backend, pool: &Pool<Conn>, number: u32) {
    let leases = futures_util::future::join_all((0..number).map(|_| pool.acquire())).await;
    assert!(leases.iter().all(Result::is_ok));
    drop(leases);
    assert_eq!(pool.snapshot().sizes.idle, number);
    advance(s(2)).await;
    assert_eq!(backend.state().checks, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_broke_while_idle_is_not_lent() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    let leases = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    drop(leases);
    backend.crash();
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id, 3);
    assert_eq!(begun.elapsed(), ms(0));
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 3);
}

#[tokio::test(start_paused = true)]
async fn only_one_that_idled_is_checked_before_it_is_lent() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    drop(pool.acquire().await.unwrap());
    advance(ms(900)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(backend.state().checks, 0);
    advance(ms(1100)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(backend.state().checks, 1);
    drop(pool.acquire().await.unwrap());
    assert_eq!(backend.state().checks, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_knows_that_it_is_broken_passes_no_check() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    idle(&backend, &pool, 1).await;
    backend.crash();
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert_eq!(backend.state().checks, 1);
}

#[tokio::test(start_paused = true)]
async fn ten_dead_idle_ones_cost_one_check_not_ten() {
    let backend = Backend::default();
    let pool = pool(&backend, 10);
    idle(&backend, &pool, 10).await;
    backend.die();
    backend.state().check_for = s(100);
    let begun = Instant::now();
    let lease = pool.acquire().await.unwrap();
    assert_eq!((lease.id, begun.elapsed()), (10, s(1)));
    sleep(ms(1)).await;
    assert_eq!(backend.state().most_checks_at_once, 9, "all at once");
    sleep(s(1)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::CheckFailed), 10);
    assert_eq!(pool.snapshot().sizes.lent, 1);
}

#[tokio::test(start_paused = true)]
async fn once_there_are_good_ones_a_check_is_counted_on_again() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    idle(&backend, &pool, 2).await;
    backend.die();
    drop(pool.acquire().await.unwrap());
    settle().await;
    let made = backend.state().made;
    advance(s(2)).await;
    backend.state().check_for = ms(500);
    backend.state().connect_for = ms(400);
    let begun = Instant::now();
    drop(pool.acquire().await.unwrap());
    assert_eq!((begun.elapsed(), backend.state().made), (ms(500), made));
}

#[tokio::test(start_paused = true)]
async fn one_dead_idle_one_does_not_cost_the_others() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    idle(&backend, &pool, 3).await;
    // The first was given back first, so it is lent last.
    let leases = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    backend.state().dead_below = 1;
    let last = pool.acquire().await.unwrap();
    assert_eq!(last.id, 3);
    drop(leases);
    drop(last);
    settle().await;
    assert_eq!(pool.snapshot().sizes.idle, 3);
    assert_eq!(backend.state().closed, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_on_without_who_asked_for_it() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    idle(&backend, &pool, 1).await;
    backend.state().check_for = ms(500);
    assert!(timeout(ms(100), pool.acquire()).await.is_err());
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id, 0);
    assert_eq!(begun.elapsed(), ms(400));
    assert_eq!(backend.state().checks, 1);
}

#[tokio::test(start_paused = true)]
async fn each_who_waits_has_one_checked() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    idle(&backend, &pool, 3).await;
    backend.state().check_for = ms(500);
    let begun = Instant::now();
    let users = (0..3).map(|_| pool.acquire());
    futures_util::future::join_all(users).await;
    assert_eq!(begun.elapsed(), ms(500));
    assert_eq!(backend.state().made, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_brings_idle_ones_of_its_time_into_doubt() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    let mut a = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    advance(ms(100)).await;
    a.broken = true;
    drop(a);
    backend.die();
    assert_eq!(pool.acquire().await.unwrap().id, 2);
    assert_eq!(backend.state().checks, 1);
}

#[tokio::test(start_paused = true)]
async fn idle_ones_are_kept_alive() {
    let backend = Backend::default();
    let times = Times::new().with_keep_alive(s(60)).unwrap();
    let pool = pool_with(&backend, Limits::new(n(2)), times);
    let lease = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    sleep(s(53)).await;
    assert_eq!(backend.state().checks, 0);
    sleep(s(8)).await;
    assert_eq!(backend.state().checks, 1, "not the one that is lent");
    backend.die();
    sleep(s(61)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::CheckFailed), 1);
    assert_eq!(pool.snapshot().sizes.lent, 1);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn one_kept_alive_is_not_lent_sooner_for_that() {
    let backend = Backend::default();
    let times = Times::new()
        .with_keep_alive(s(60))
        .unwrap()
        .with_check_after_idle(s(1000));
    let pool = pool_with(&backend, Limits::new(n(2)), times);
    let first = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    sleep(s(10)).await;
    drop(first);
    sleep(s(51)).await;
    assert_eq!(backend.state().checks, 1);
    assert_eq!(pool.acquire().await.unwrap().id, 0);
}

#[tokio::test(start_paused = true)]
async fn a_generation_is_retired_at_once() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    let lent = pool.acquire().await.unwrap();
    drop([pool.acquire().await.unwrap(), pool.acquire().await.unwrap()]);
    pool.retire_all();
    settle().await;
    let mut closed = backend.state().closed.clone();
    closed.sort();
    assert_eq!(closed, [1, 2]);
    drop(lent);
    settle().await;
    assert_eq!(backend.state().closed.last(), Some(&0));
    assert_eq!(pool.acquire().await.unwrap().id, 3);
    assert_eq!(pool.snapshot().closed(CloseReason::Retired), 3);
    assert_eq!(backend.state().checks, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_being_made_is_of_the_new_generation() {
    let backend = Backend::default();
    backend.state().connect_for = ms(10);
    let pool = pool(&backend, 1);
    let mut user = task::spawn(pool.acquire());
    assert!(user.poll().is_pending());
    sleep(ms(5)).await;
    assert_eq!(pool.snapshot().sizes.connecting, 1);
    pool.retire_all();
    drop(user.await.unwrap());
    settle().await;
    assert_eq!((pool.snapshot().sizes.idle, backend.state().made), (1, 1));
    assert_eq!(pool.snapshot().closed(CloseReason::Retired), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_reported_broken_is_closed_when_it_comes_back() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    lease.mark_broken();
    let mut waiter = task::spawn(pool.acquire());
    assert!(waiter.poll().is_pending());
    settle().await;
    assert_eq!(backend.state().made, 1, "its place is taken until then");
    drop(lease);
    assert_eq!(waiter.await.unwrap().id, 1);
}
