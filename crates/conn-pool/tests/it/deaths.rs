//! Connections that die, and nobody asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_conn_pool::{CloseReason, Connection, Limits, PoolLayer, Times};
use tokio::time::sleep;
use tower::{Layer, service_fn};

use crate::support::{Backend, ms, n, pool, pool_with, s};

#[tokio::test(start_paused = true)]
async fn those_that_die_idle_are_replaced_without_being_asked_for() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(2).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    sleep(s(10)).await;
    backend.crash();
    sleep(s(1)).await;
    assert_eq!((pool.snapshot().sizes.idle, backend.state().made), (2, 4));
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 2);
}

#[tokio::test(start_paused = true)]
async fn those_that_die_idle_and_are_not_needed_give_their_place_back() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    drop(pool.acquire().await.unwrap());
    sleep(s(10)).await;
    backend.crash();
    sleep(s(1)).await;
    assert_eq!(
        (pool.snapshot().sizes, backend.state().live),
        Default::default()
    );
}

#[tokio::test(start_paused = true)]
async fn how_often_they_are_asked_can_be_set() {
    let backend = Backend::default();
    let times = Times::new().with_sweep_every(s(60)).unwrap();
    let pool = pool_with(&backend, Limits::new(n(2)), times);
    drop(pool.acquire().await.unwrap());
    sleep(s(1)).await;
    backend.crash();
    sleep(s(58)).await;
    assert_eq!(pool.snapshot().sizes.idle, 1);
    sleep(s(2)).await;
    assert_eq!(pool.snapshot().sizes.idle, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shared_one_that_dies_in_use_is_replaced_while_it_is_still_held() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(1).unwrap();
    let pool = PoolLayer::new(limits).shared(n(10)).layer(backend.clone());
    let held = pool.acquire().await.unwrap();
    sleep(s(10)).await;
    backend.crash();
    sleep(s(1)).await;
    assert_eq!(pool.try_acquire().unwrap().id, 1, "it is ready");
    assert_eq!(pool.snapshot().sizes.lent, 1);
    drop(held);
    sleep(ms(1)).await;
    assert_eq!(backend.state().closed, [0]);
}

#[tokio::test(start_paused = true)]
async fn being_asked_changes_nothing_else() {
    let backend = Backend::default();
    let times = Times::new()
        .with_check_after_idle(s(100))
        .with_idle_for(s(20))
        .unwrap();
    let pool = pool_with(&backend, Limits::new(n(3)), times);
    let [a, b, c] = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    drop(b);
    drop(a);
    drop(c);
    sleep(s(19)).await;
    let leases = [
        pool.try_acquire().unwrap(),
        pool.try_acquire().unwrap(),
        pool.try_acquire().unwrap(),
    ];
    assert_eq!(leases.map(|lease| lease.id), [2, 0, 1], "newest first");
    assert_eq!(pool.snapshot().leased, 6);
    sleep(s(19)).await;
    assert_eq!(pool.snapshot().sizes.idle, 3);
    sleep(s(2)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::Idle), 3);
}

/// A connection that panics instead of an answer.
struct Silent(Arc<AtomicBool>);

impl Connection for Silent {
    fn is_broken(&self) -> bool {
        assert!(!self.0.load(Ordering::Relaxed), "as a test wants it");
        false
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_when_it_is_asked_is_broken() {
    let panics = Arc::new(AtomicBool::new(false));
    let connector = {
        let panics = panics.clone();
        service_fn(move |()| std::future::ready(Ok::<_, String>(Silent(panics.clone()))))
    };
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    drop(pool.acquire().await.unwrap());
    sleep(s(5)).await;
    panics.store(true, Ordering::Relaxed);
    sleep(s(1)).await;
    panics.store(false, Ordering::Relaxed);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
    assert!(pool.acquire().await.unwrap().is_new());
}
