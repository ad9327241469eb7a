//! What lending costs in memory.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroU32;

use allocation_counter::measure;
use mainstay_conn_pool::{Connection, Limits, PoolLayer};
use std::future::Future;

use tokio_test::{assert_ready, task};
use tower::{Layer, service_fn};

struct Conn;

impl Connection for Conn {}

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[tokio::test]
async fn a_lease_that_is_not_waited_for_allocates_nothing() {
    let connector = service_fn(async |()| Ok::<_, Infallible>(Conn));
    let layer = PoolLayer::new(Limits::new(n(2)));
    let whole = layer.layer(connector);
    drop(whole.acquire().await.unwrap());
    let mut acquire = task::spawn(());
    let info = measure(|| {
        acquire.enter(|cx, _| {
            for _ in 0..100 {
                let checkout = std::pin::pin!(whole.acquire());
                black_box(assert_ready!(checkout.poll(cx)).unwrap());
            }
        });
    });
    assert_eq!(info.count_total, 0);

    let shared = PoolLayer::new(Limits::new(n(2)))
        .shared(n(10))
        .layer(connector);
    let held = shared.acquire().await.unwrap();
    drop(shared.acquire().await.unwrap());
    let info = measure(|| {
        acquire.enter(|cx, _| {
            for _ in 0..100 {
                let checkout = std::pin::pin!(shared.acquire());
                black_box(assert_ready!(checkout.poll(cx)).unwrap());
            }
        });
    });
    assert_eq!(info.count_total, 0);
    drop(held);
}

/// The place in the queue is kept for the next who waits.
#[tokio::test]
async fn a_lease_that_is_waited_for_allocates_nothing_either() {
    let connector = service_fn(async |()| Ok::<_, Infallible>(Conn));
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    let wait = || {
        let mut first = task::spawn(pool.acquire());
        let lease = assert_ready!(first.poll()).unwrap();
        let mut second = task::spawn(pool.acquire());
        let before = measure(|| assert!(second.poll().is_pending()));
        let handed = measure(|| drop(lease));
        let mut lease = None;
        let fetched = measure(|| lease = Some(assert_ready!(second.poll()).unwrap()));
        drop(lease);
        before.count_total + handed.count_total + fetched.count_total
    };
    drop(pool.acquire().await.unwrap());
    wait();
    assert_eq!(wait(), 0);
}

#[tokio::test]
async fn the_future_of_a_checkout_is_small() {
    let connector = service_fn(async |()| Ok::<_, Infallible>(Conn));
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    assert!(size_of_val(&pool.acquire()) <= 48);
    assert!(size_of_val(&pool.acquire_owned()) <= 48);
}
