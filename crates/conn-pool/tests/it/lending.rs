use std::time::Duration;

use mainstay_conn_pool::{AcquireError, CloseReason};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, task};

use crate::support::{Backend, ms, pool, s, settle};

#[tokio::test(start_paused = true)]
async fn an_empty_pool_connects_at_once() {
    let backend = Backend::default();
    let pool = pool(&backend, 2);
    let begun = Instant::now();
    let lease = pool.acquire().await.unwrap();
    assert!(lease.is_new());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_one_given_back_last_is_lent_first() {
    let backend = Backend::default();
    let pool = pool(&backend, 3);
    let leases = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    let [a, b, c] = leases;
    drop(b);
    drop(a);
    drop(c);
    let again = pool.acquire().await.unwrap().id;
    assert_eq!(again, 2);
    let held = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    assert_eq!(held.map(|lease| lease.id), [2, 0, 1]);
    assert_eq!(backend.state().made, 3);
}

#[tokio::test(start_paused = true)]
async fn connects_many_at_once() {
    let backend = Backend::default();
    backend.state().connect_for = ms(50);
    let pool = pool(&backend, 10);
    let begun = Instant::now();
    let leases = futures_util::future::join_all((0..10).map(|_| pool.acquire())).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(begun.elapsed(), ms(50));
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_lends_what_comes_back() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    drop(lease);
    assert!(waiter.is_woken());
    let lease = assert_ready!(waiter.poll()).unwrap();
    assert_eq!(lease.id, 0);
    assert!(!lease.is_new());
}

#[tokio::test(start_paused = true)]
async fn times_out_and_says_of_what() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let _lease = pool.acquire().await.unwrap();
    let begun = Instant::now();
    let Err(AcquireError::TimedOut(error)) = pool.acquire().await else {
        panic!("not timed out")
    };
    assert_eq!(begun.elapsed(), s(5));
    assert_eq!(error.waited(), s(5));
    assert_eq!(error.sizes().lent, 1);
    assert_eq!(
        error.to_string(),
        "no connection within 5s (0 idle, 1 lent, 0 connecting, 0 closing, 1 waiting)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_tells_its_dates() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    advance(s(2)).await;
    assert_eq!((lease.age(), lease.lent_for()), (s(2), s(2)));
    drop(lease);
    let lease = pool.acquire().await.unwrap();
    advance(s(1)).await;
    assert_eq!((lease.age(), lease.lent_for()), (s(3), s(1)));
    assert_eq!(lease.into_owned().age(), s(3));
}

#[tokio::test(start_paused = true)]
async fn one_can_be_had_without_waiting_only_if_it_is_there() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    assert!(pool.try_acquire().is_none());
    settle().await;
    assert_eq!(
        backend.state().attempts,
        0,
        "none is made for one who does not wait"
    );
    let lease = pool.acquire().await.unwrap();
    assert!(pool.try_acquire().is_none());
    drop(lease);
    let lease = pool.try_acquire().unwrap();
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    drop(lease);
    assert!(pool.try_acquire().is_none(), "it is the waiter's");
    drop(assert_ready!(waiter.poll()).unwrap());
    assert!(pool.try_acquire().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_idled_is_checked_in_the_background_for_who_does_not_wait() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    drop(pool.acquire().await.unwrap());
    advance(s(2)).await;
    assert!(pool.try_acquire().is_none());
    settle().await;
    assert_eq!(backend.state().checks, 1);
    assert!(pool.try_acquire().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_out_makes_room() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut waiter = task::spawn(pool.acquire());
    assert_pending!(waiter.poll());
    let mine = lease.detach();
    assert_eq!(waiter.await.unwrap().id, 1);
    assert_eq!(pool.snapshot().closed(CloseReason::Detached), 1);
    assert!(
        backend.state().closed.is_empty(),
        "it is not the pool's to close"
    );
    assert_eq!(mine.id, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_given_back_makes_room_for_who_waits() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let mut lease = pool.acquire().await.unwrap();
    let waiter = tokio::spawn(pool.clone().acquire_owned());
    settle().await;
    lease.broken = true;
    drop(lease);
    let begun = Instant::now();
    assert_eq!(waiter.await.unwrap().unwrap().id, 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(backend.state().closed, [0]);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
}

#[test]
fn giving_back_needs_no_runtime_and_does_not_wait() {
    let backend = Backend::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (pool, leases) = runtime.block_on(async {
        let pool = pool(&backend, 3);
        let leases = [
            pool.clone().acquire_owned().await.unwrap(),
            pool.clone().acquire_owned().await.unwrap(),
            pool.clone().acquire_owned().await.unwrap(),
        ];
        (pool, leases)
    });
    let [a, b, c] = leases;
    drop(a);
    b.mark_broken();
    drop(b);
    assert_eq!(pool.snapshot().sizes.idle, 1);
    drop(runtime);
    assert!(pool.is_closed(), "with its runtime");
    drop(c);
    assert_eq!(pool.snapshot().sizes, Default::default());
    assert_eq!(backend.state().live, 0);
}

#[tokio::test(start_paused = true)]
async fn one_given_back_by_a_panic_is_not_lent_again() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.clone().acquire_owned().await.unwrap();
    let user = tokio::spawn(async move {
        let _lease = lease;
        panic!("as a test wants it")
    });
    user.await.unwrap_err();
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
}

#[tokio::test(start_paused = true)]
async fn counts_what_it_did() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let line = line!() - 1;
    let waiter = tokio::spawn(pool.clone().acquire_owned());
    settle().await;
    advance(ms(10)).await;
    let snapshot = pool.snapshot();
    let (lent_for, place) = snapshot.oldest_lease().unwrap();
    assert_eq!((lent_for, place.line()), (ms(10), line));
    assert!(place.file().ends_with("lending.rs"));
    assert_eq!(snapshot.sizes.waiting, 1);
    drop(lease);
    drop(waiter.await.unwrap());
    let snapshot = pool.snapshot();
    assert_eq!(
        (snapshot.leased, snapshot.waited, snapshot.created),
        (2, 2, 1)
    );
    assert_eq!(snapshot.waited_for, ms(10));
    assert_eq!(snapshot.wait_below(0.5), Some(Duration::from_micros(2)));
    let below = snapshot.wait_below(1.0).unwrap();
    assert!(below >= ms(10) && below < ms(20), "{below:?}");
    assert_eq!(snapshot.oldest_lease(), None);
    assert_eq!((snapshot.max_size, snapshot.min_size), (1, 0));
}
