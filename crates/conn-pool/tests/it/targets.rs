//! Whose connection is closed for whom, where there are many targets.

use mainstay_conn_pool::{CloseReason, KeyedLimits, Pool, PoolLayer, Shared, Times};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::Layer;

use crate::support::{Backend, Conn, ms, n, s, settle};

fn shared(backend: &Backend, max_size: u32) -> Pool<Conn, &'static str, Shared> {
    let limits = KeyedLimits::new(n(max_size), n(max_size)).unwrap();
    PoolLayer::keyed(limits).shared(n(2)).layer(backend.clone())
}

fn whole(backend: &Backend, max_size: u32) -> Pool<Conn, &'static str> {
    let limits = KeyedLimits::new(n(max_size), n(max_size)).unwrap();
    PoolLayer::keyed(limits).layer(backend.clone())
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_is_not_closed_where_there_is_room() {
    let backend = Backend::default();
    let limits = KeyedLimits::new(n(3), n(3)).unwrap();
    let pool: Pool<Conn, &'static str> =
        PoolLayer::keyed(limits.with_max_connecting(n(1))).layer(backend.clone());
    let a = pool.acquire_for("a").await.unwrap();
    backend.state().connect_for = s(1);
    let mut b = task::spawn(pool.acquire_for("b"));
    let mut c = task::spawn(pool.acquire_for("c"));
    assert_pending!(b.poll());
    assert_pending!(c.poll());
    settle().await;
    assert_eq!(pool.snapshot().sizes.connecting, 1);
    drop(a);
    assert_eq!(pool.snapshot().sizes.idle, 1);
    sleep(ms(2100)).await;
    assert_ready!(b.poll()).unwrap();
    assert_ready!(c.poll()).unwrap();
    assert_eq!(pool.snapshot().closed(CloseReason::Evicted), 0);
}

#[tokio::test(start_paused = true)]
async fn the_least_loaded_gives_way() {
    let backend = Backend::default();
    let pool = shared(&backend, 2);
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.acquire_for("a").await.unwrap());
    }
    drop(leases.pop());
    let mut other = task::spawn(pool.acquire_for("b"));
    assert_pending!(other.poll());
    sleep(ms(110)).await;
    assert!(pool.try_acquire_for("a").is_none(), "it is lent no more");
    leases.retain(|lease| lease.id != 1);
    settle().await;
    assert_eq!(assert_ready!(other.poll()).unwrap().to, "b");
    assert_eq!(backend.state().closed, [1]);
    assert_eq!(leases.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_for_which_others_wait_for_longer_does_not_give_way() {
    let backend = Backend::default();
    let pool = shared(&backend, 1);
    let a = pool.acquire_for("a").await.unwrap();
    let b = pool.acquire_for("a").await.unwrap();
    let mut own = task::spawn(pool.acquire_for("a"));
    let mut other = task::spawn(pool.acquire_for("b"));
    assert_pending!(own.poll());
    assert_pending!(other.poll());
    sleep(ms(200)).await;
    drop(a);
    let own = assert_ready!(own.poll()).unwrap();
    settle().await;
    drop((b, own));
    settle().await;
    assert_eq!(assert_ready!(other.poll()).unwrap().to, "b");
}

#[tokio::test(start_paused = true)]
async fn for_a_target_that_is_down_no_more_than_one_is_closed_at_a_time() {
    let backend = Backend::default();
    let limits = KeyedLimits::new(n(4), n(4)).unwrap();
    let pool: Pool<Conn, &'static str> = PoolLayer::keyed(limits)
        .with_backoff(|| std::iter::repeat(ms(100)))
        .layer(backend.clone());
    backend.state().refuses = Some("down");
    pool.acquire_for("down").await.unwrap_err();
    backend.state().refuses = None;
    for target in ["a", "b", "c", "d"] {
        drop(pool.acquire_for(target).await.unwrap());
    }
    backend.state().refuses = Some("down");
    let mut users: Vec<_> = (0..3)
        .map(|_| task::spawn(pool.acquire_for("down")))
        .collect();
    for user in &mut users {
        assert_pending!(user.poll());
    }
    sleep(ms(110)).await;
    assert_eq!(pool.snapshot().failed, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Evicted), 1);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_places_are_made_for_others_overtakes_none_of_them() {
    let backend = Backend::default();
    let pool = whole(&backend, 2);
    let a = pool.acquire_for("hot").await.unwrap();
    let b = pool.acquire_for("hot").await.unwrap();
    backend.state().close_for = s(1);
    let mut first = task::spawn(pool.acquire_for("first"));
    let mut second = task::spawn(pool.acquire_for("second"));
    let mut hot = task::spawn(pool.acquire_for("hot"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(hot.poll());
    drop(a);
    drop(b);
    assert!(!hot.is_woken());
    sleep(ms(1100)).await;
    let _first = assert_ready!(first.poll()).unwrap();
    drop(assert_ready!(second.poll()).unwrap());
    sleep(ms(1100)).await;
    assert_ready!(hot.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_are_evicted_than_are_waited_for_while_they_are_being_checked() {
    let backend = Backend::default();
    let times = Times::new()
        .with_keep_alive(s(10))
        .and_then(|times| times.with_check_within(s(10)))
        .unwrap()
        .with_check_after_idle(s(100));
    let limits = KeyedLimits::new(n(5), n(5)).unwrap();
    let pool = PoolLayer::keyed(limits)
        .shared(n(2))
        .with_times(times)
        .layer(backend.clone());
    for target in ["a", "b", "c", "d", "e"] {
        drop(pool.acquire_for(target).await.unwrap());
    }
    backend.state().check_for = s(5);
    sleep(ms(10_500)).await;
    assert_eq!(backend.state().checks_at_once, 5);
    drop(pool.acquire_for("f").await.unwrap());
    sleep(s(20)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::Evicted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_connection_is_always_lent_does_not_starve_another() {
    let backend = Backend::default();
    let limits = KeyedLimits::new(n(2), n(2)).unwrap();
    let pool = PoolLayer::keyed(limits).shared(n(4)).layer(backend.clone());
    let busy: Vec<_> = (0..5)
        .map(|caller| {
            let pool = pool.clone();
            tokio::spawn(async move {
                sleep(ms(caller)).await;
                let mut longest = ms(0);
                for _ in 0..400 {
                    let begun = Instant::now();
                    let lease = pool.acquire_for("busy").await.unwrap();
                    longest = longest.max(begun.elapsed());
                    sleep(ms(5)).await;
                    drop(lease);
                }
                longest
            })
        })
        .collect();
    sleep(ms(50)).await;
    assert_eq!(pool.snapshot().sizes.lent, 2);
    for _ in 0..5 {
        let begun = Instant::now();
        let lease = pool.acquire_for("other").await.unwrap();
        assert!(begun.elapsed() <= ms(110), "{:?}", begun.elapsed());
        sleep(ms(20)).await;
        drop(lease);
        sleep(ms(20)).await;
    }
    assert_eq!(backend.state().peak, 2);
    let evicted = pool.snapshot().closed(CloseReason::Evicted);
    assert!((1..=10).contains(&evicted), "{evicted}");
    for busy in busy {
        let longest = busy.await.unwrap();
        assert!(
            longest <= ms(50),
            "{longest:?}: the other of its two went on"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_soon_idle_need_not_give_way() {
    let backend = Backend::default();
    let limits = KeyedLimits::new(n(2), n(2)).unwrap();
    let pool = PoolLayer::keyed(limits).shared(n(2)).layer(backend.clone());
    let long = pool.acquire_for("a").await.unwrap();
    let [b, c] = [
        pool.acquire_for("b").await.unwrap(),
        pool.acquire_for("b").await.unwrap(),
    ];
    let mut waiter = task::spawn(pool.acquire_for("c"));
    assert_pending!(waiter.poll());
    sleep(ms(90)).await;
    drop((b, c));
    sleep(ms(1)).await;
    assert_ready!(waiter.poll()).unwrap();
    assert_eq!(pool.try_acquire_for("a").unwrap().id, 0);
    drop(long);
}
