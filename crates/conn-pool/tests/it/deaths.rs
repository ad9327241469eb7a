//! Connections that die, and nobody asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use std::error::Error;
use std::time::Duration;

use mainstay_conn_pool::{
    AcquireError, CloseReason, Connection, Limits, Pool, PoolLayer, ShortLived, Times,
};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, service_fn};

use crate::support::{Backend, Conn, ms, n, pool, pool_with, s, settle};

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

/// Where it is the only one, who comes while it is being asked would have to wait.
#[tokio::test(start_paused = true)]
async fn one_that_is_in_demand_is_not_asked_but_when_it_is_given_back() {
    let asked = Arc::new(AtomicU32::new(0));
    let connector = {
        let asked = asked.clone();
        service_fn(move |()| std::future::ready(Ok::<_, String>(Counting(asked.clone()))))
    };
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    drop(pool.acquire().await.unwrap());
    asked.store(0, Ordering::Relaxed);
    for _ in 0..30 {
        sleep(ms(100)).await;
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 60, "with each lease, twice");
    sleep(ms(3100)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 63);
}

struct Counting(Arc<AtomicU32>);

impl Connection for Counting {
    fn is_broken(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }
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

/// One that is kept whether asked for or not, with delays that tell themselves apart.
fn kept(backend: &Backend) -> Pool<Conn> {
    // So that what is made after a death is not of the same moment.
    backend.state().connect_for = ms(1);
    PoolLayer::new(Limits::new(n(1)).with_min_size(1).unwrap())
        .with_backoff(|| [s(1), s(10), s(100)].into_iter())
        .layer(backend.clone())
}

fn short_lived(error: &AcquireError) -> ShortLived {
    assert!(matches!(error, AcquireError::BackendDown(_)), "{error}");
    *error.source().unwrap().downcast_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_broken_when_it_is_made_has_failed_to_be_made() {
    let backend = Backend::default();
    backend.state().broken_below = u32::MAX;
    let pool = kept(&backend);
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(short_lived(&error).lived(), Duration::ZERO);
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, "connection was broken when it was made");
    settle().await;
    assert_eq!(backend.state().live, 0);
    assert_eq!(backend.state().closed, [0]);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.created, snapshot.failed), (0, 1));
    sleep(ms(999)).await;
    assert_eq!(backend.state().attempts, 1);
    sleep(s(20)).await;
    assert_eq!(backend.state().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn those_that_break_as_soon_as_they_are_made_are_replaced_with_ever_longer_delays() {
    let backend = Backend::default();
    let pool = kept(&backend);
    let crashing = tokio::spawn({
        let backend = backend.clone();
        async move {
            loop {
                sleep(ms(50)).await;
                backend.crash();
            }
        }
    });
    let mut made = Vec::new();
    for _ in 0..60 {
        sleep(s(1)).await;
        made.push(backend.state().made);
    }
    // The first is replaced at once, then there are delays of one, ten and a hundred seconds.
    let at = |number| made.iter().position(|made| *made == number).unwrap();
    assert!(at(2) <= 1 && at(3) - at(2) <= 3, "{made:?}");
    assert!((10..13).contains(&(at(4) - at(3))), "{made:?}");
    assert_eq!(made.last(), Some(&4));
    let error = pool.acquire().await.unwrap_err();
    let lived = short_lived(&error).lived();
    assert!(lived <= s(1) && !lived.is_zero());
    let cause = error.source().unwrap().to_string();
    assert_eq!(
        cause,
        format!("connection broke {lived:?} after it was made")
    );

    // Once one has lived for a while, all that is forgotten.
    crashing.abort();
    sleep(s(110)).await;
    assert_eq!((pool.snapshot().sizes.idle, backend.state().made), (1, 5));
    for made in [6, 7, 8] {
        backend.crash();
        sleep(s(3)).await;
        assert_eq!(
            (pool.snapshot().sizes.idle, backend.state().made),
            (1, made)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_a_second_after_it_was_made_is_found_out_by_then() {
    let backend = Backend::default();
    let pool = kept(&backend);
    let mut made = Vec::new();
    for _ in 0..30 {
        sleep(ms(400)).await;
        backend.crash();
        sleep(ms(590)).await;
        made.push(backend.state().made);
    }
    assert!(pool.snapshot().failed > 0, "{made:?}");
    assert!(*made.last().unwrap() <= 6, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_served_well_are_replaced_at_once_however_often() {
    let backend = Backend::default();
    let pool = kept(&backend);
    for id in 0..10 {
        assert_eq!(pool.acquire().await.unwrap().id, id);
        advance(ms(10)).await;
        backend.crash();
    }
    assert_eq!(pool.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_goes_well_ends_a_row_of_failures() {
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = kept(&backend);
    sleep(ms(11_500)).await;
    assert_eq!(backend.state().attempts, 3);
    backend.state().refuses = None;
    sleep(s(100)).await;
    drop(pool.acquire().await.unwrap());
    backend.state().refuses = Some("down again");
    backend.crash();
    sleep(ms(900)).await;
    let before = backend.state().attempts;
    sleep(s(2)).await;
    assert_eq!(
        backend.state().attempts,
        before + 1,
        "after one second again"
    );
}

#[tokio::test(start_paused = true)]
async fn those_that_break_together_are_not_one_after_the_other() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    let leases = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    advance(ms(10)).await;
    backend.crash();
    for lease in leases {
        drop(lease);
        advance(ms(10)).await;
    }
    let begun = Instant::now();
    assert_eq!(pool.acquire().await.unwrap().id, 3);
    assert_eq!((begun.elapsed(), pool.snapshot().failed), (ms(0), 0));
}

#[tokio::test(start_paused = true)]
async fn one_in_use_that_was_never_given_back_well_may_be_old_when_it_breaks() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    for id in 0..5 {
        let lease = pool.acquire().await.unwrap();
        assert_eq!(lease.id, id);
        sleep(s(3)).await;
        backend.crash();
    }
    assert_eq!(pool.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_served_well_and_breaks_is_not_the_first_of_a_row() {
    let backend = Backend::default();
    let pool = kept(&backend);
    drop(pool.acquire().await.unwrap());
    backend.crash();
    sleep(ms(1100)).await;
    assert_eq!(backend.state().made, 2);
    backend.crash();
    sleep(ms(1100)).await;
    assert_eq!((backend.state().made, pool.snapshot().failed), (3, 0));
    backend.crash();
    sleep(ms(1100)).await;
    assert_eq!(pool.snapshot().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_as_good_as_ever_does_not_hide_a_row_of_failures() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(2).unwrap();
    let pool: Pool<Conn> = PoolLayer::new(limits)
        .with_backoff(|| [s(1), s(10), s(100)].into_iter())
        .layer(backend.clone());
    pool.warm_up().await.unwrap();
    sleep(s(5)).await;
    backend.state().connect_for = ms(1);
    backend.state().spared_below = 1;
    for _ in 0..500 {
        backend.crash();
        assert_eq!(pool.acquire().await.unwrap().id, 0);
        sleep(ms(100)).await;
    }
    assert_eq!((pool.snapshot().failed, backend.state().made), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_seen_alive_but_not_for_long_is_as_short_lived() {
    let backend = Backend::default();
    backend.state().connect_for = ms(1);
    let times = Times::new().with_sweep_every(ms(100)).unwrap();
    let limits = Limits::new(n(1)).with_min_size(1).unwrap();
    let pool: Pool<Conn> = PoolLayer::new(limits)
        .with_times(times)
        .with_backoff(|| [s(1), s(10), s(100)].into_iter())
        .layer(backend.clone());
    for _ in 0..30 {
        sleep(ms(700)).await;
        backend.crash();
    }
    assert!(backend.state().made <= 4, "{}", backend.state().made);
    assert!(pool.snapshot().failed >= 2);
}
