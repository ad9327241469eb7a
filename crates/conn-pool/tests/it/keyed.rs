use mainstay_conn_pool::{AcquireError, CloseReason, KeyedLimits, Limits, Pool, PoolLayer, Times};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::Layer;

use crate::support::{Backend, Conn, ms, n, s, settle};

fn keyed(backend: &Backend, max_size: u32, max_per_key: u32) -> Pool<Conn, &'static str> {
    PoolLayer::keyed(KeyedLimits::new(n(max_size), n(max_per_key)).unwrap())
        .with_backoff(|| std::iter::repeat(ms(100)))
        .layer(backend.clone())
}

#[tokio::test(start_paused = true)]
async fn each_target_has_its_own() {
    let backend = Backend::default();
    let pool = keyed(&backend, 10, 5);
    let a = pool.acquire_for("a").await.unwrap();
    let b = pool.acquire_for("b").await.unwrap();
    assert_eq!((a.to, b.to), ("a", "b"));
    drop((a, b));
    assert_eq!(pool.acquire_for("a").await.unwrap().to, "a");
    assert_eq!(pool.try_acquire_for("b").unwrap().to, "b");
    assert!(pool.try_acquire_for("c").is_none());
    assert_eq!(backend.state().made, 2);
}

#[tokio::test(start_paused = true)]
async fn one_target_has_no_more_than_its_share() {
    let backend = Backend::default();
    let pool = keyed(&backend, 4, 2);
    let held = [
        pool.acquire_for("a").await.unwrap(),
        pool.acquire_for("a").await.unwrap(),
    ];
    let mut waiter = task::spawn(pool.acquire_for("a"));
    assert_pending!(waiter.poll());
    settle().await;
    assert_pending!(waiter.poll());
    pool.acquire_for("b").await.unwrap();
    drop(held);
    assert_ready!(waiter.poll()).unwrap();
    assert_eq!(backend.state().to["a"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_a_hundred_and_thirty() {
    assert_eq!(
        KeyedLimits::default(),
        KeyedLimits::new(n(100), n(30)).unwrap()
    );
    let backend = Backend::default();
    let pool: Pool<Conn, &'static str> =
        PoolLayer::keyed(KeyedLimits::default()).layer(backend.clone());
    let keys = ["a", "b", "c", "d"];
    let mut users: Vec<_> = keys
        .iter()
        .flat_map(|key| (0..35).map(|_| task::spawn(pool.acquire_for(*key))))
        .collect();
    let _pending: Vec<_> = users.iter_mut().map(|user| user.poll()).collect();
    settle().await;
    assert_eq!(backend.state().made, 100);
    let to = backend.state().to.clone();
    assert_eq!([to["a"], to["b"], to["c"], to["d"]], [30, 30, 30, 10]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_one_makes_room_for_another_target() {
    let backend = Backend::default();
    let pool = keyed(&backend, 2, 2);
    drop(pool.acquire_for("a").await.unwrap());
    advance(ms(10)).await;
    drop(pool.acquire_for("b").await.unwrap());
    let begun = Instant::now();
    let c = pool.acquire_for("c").await.unwrap();
    assert_eq!((c.to, begun.elapsed()), ("c", ms(0)));
    assert_eq!(backend.state().closed, [0], "the one idle for the longest");
    assert_eq!(backend.state().peak, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Evicted), 1);
}

#[tokio::test(start_paused = true)]
async fn the_place_is_free_only_when_the_evicted_one_is_closed() {
    let backend = Backend::default();
    backend.state().close_for = ms(50);
    let pool = keyed(&backend, 1, 1);
    drop(pool.acquire_for("a").await.unwrap());
    let begun = Instant::now();
    pool.acquire_for("b").await.unwrap();
    assert_eq!((begun.elapsed(), backend.state().peak), (ms(50), 1));
}

/// One target with many callers against another with one.
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_longest_is_served_next_whatever_the_target() {
    let backend = Backend::default();
    let pool = keyed(&backend, 2, 2);
    let first = pool.acquire_for("hot").await.unwrap();
    let second = pool.acquire_for("hot").await.unwrap();
    let mut hot_before = task::spawn(pool.acquire_for("hot"));
    let mut cold = task::spawn(pool.acquire_for("cold"));
    let mut hot_after = task::spawn(pool.acquire_for("hot"));
    assert_pending!(hot_before.poll());
    assert_pending!(cold.poll());
    assert_pending!(hot_after.poll());
    drop(first);
    let third = assert_ready!(hot_before.poll()).unwrap();
    drop(second);
    settle().await;
    assert_pending!(hot_after.poll());
    assert_eq!(assert_ready!(cold.poll()).unwrap().to, "cold");
    drop(third);
    assert_eq!(assert_ready!(hot_after.poll()).unwrap().to, "hot");
    assert_eq!(backend.state().peak, 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_else_waits_for_makes_room_when_it_comes_back() {
    let backend = Backend::default();
    let pool = keyed(&backend, 1, 1);
    let a = pool.acquire_for("a").await.unwrap();
    let mut waiter = task::spawn(pool.acquire_for("b"));
    assert_pending!(waiter.poll());
    settle().await;
    drop(a);
    settle().await;
    assert_eq!(assert_ready!(waiter.poll()).unwrap().to, "b");
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_does_not_starve_another() {
    let backend = Backend::default();
    let pool = keyed(&backend, 2, 2);
    for _ in 0..10 {
        let pool = pool.clone();
        tokio::spawn(async move {
            loop {
                let lease = pool.acquire_for("hot").await.unwrap();
                sleep(ms(1)).await;
                drop(lease);
            }
        });
    }
    sleep(ms(50)).await;
    for _ in 0..20 {
        let begun = Instant::now();
        drop(pool.acquire_for("cold").await.unwrap());
        assert!(begun.elapsed() <= ms(7), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_its_share_does_not_hold_up_others() {
    let backend = Backend::default();
    let pool = keyed(&backend, 2, 1);
    let a = pool.acquire_for("a").await.unwrap();
    let b = pool.acquire_for("b").await.unwrap();
    let mut more_a = task::spawn(pool.acquire_for("a"));
    let mut more_b = task::spawn(pool.acquire_for("b"));
    assert_pending!(more_a.poll());
    assert_pending!(more_b.poll());
    drop(b);
    assert_eq!(assert_ready!(more_b.poll()).unwrap().to, "b");
    drop(a);
    assert_ready!(more_a.poll()).unwrap();
    assert_eq!(backend.state().made, 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_does_not_hold_up_others() {
    let backend = Backend::default();
    let pool = keyed(&backend, 1, 1);
    let a = pool.acquire_for("a").await.unwrap();
    backend.state().refuses = Some("down");
    let mut down = task::spawn(pool.acquire_for("down"));
    assert_pending!(down.poll());
    drop(a);
    let Err(AcquireError::BackendDown(_)) = down.await else {
        panic!("not down")
    };
    backend.state().refuses = None;
    pool.acquire_for("b").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_used_no_more_are_forgotten() {
    let backend = Backend::default();
    let pool: Pool<Conn, &'static str> = PoolLayer::keyed(KeyedLimits::default())
        .with_times(Times::new().with_idle_for(s(5)).unwrap())
        .layer(backend.clone());
    let keys: Vec<&'static str> = (0..50)
        .map(|it| &*Box::leak(it.to_string().into_boxed_str()))
        .collect();
    for round in 0..3 {
        for key in &keys {
            assert_eq!(pool.acquire_for(key).await.unwrap().to, *key);
        }
        sleep(s(6)).await;
        assert_eq!(backend.state().live, 0);
        assert_eq!(pool.targets(), 0, "round {round}");
    }
    drop(task::spawn(pool.acquire_for("never asked for")));
    settle().await;
    assert_eq!(pool.targets(), 0);
}

#[test]
fn limits_that_contradict_one_another_cannot_be() {
    assert!(KeyedLimits::new(n(5), n(6)).is_err());
    assert!(Limits::new(n(5)).with_min_size(6).is_err());
    for error in [
        Times::new().with_acquire_within(ms(0)).unwrap_err(),
        Times::new().with_lifetime(ms(0)).unwrap_err(),
        Times::new().with_idle_for(ms(0)).unwrap_err(),
        Times::new().with_check_within(ms(0)).unwrap_err(),
        Times::new().with_connect_within(ms(0)).unwrap_err(),
        Times::new().with_keep_alive(ms(0)).unwrap_err(),
        Times::new().with_sweep_every(ms(0)).unwrap_err(),
        Times::new().with_warn_after(ms(0)).unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("must not be zero"));
    }
}

/// Its connection is shared by callers that come before the last has gone.
/// It comes back for the connection at once, so that nobody of its target is ever seen to wait.
#[tokio::test(start_paused = true)]
async fn a_single_busy_caller_does_not_starve_another_target() {
    let backend = Backend::default();
    let pool = keyed(&backend, 1, 1);
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move {
            loop {
                let lease = pool.acquire_for("busy").await.unwrap();
                sleep(ms(1)).await;
                drop(lease);
            }
        }
    });
    sleep(ms(10)).await;
    let begun = Instant::now();
    let _lease = pool.acquire_for("other").await.unwrap();
    assert!(begun.elapsed() < ms(10), "{:?}", begun.elapsed());
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn the_greatest_times_are_as_good_as_never() {
    let times = Times::new()
        .with_keep_alive(std::time::Duration::MAX)
        .and_then(|times| times.with_lifetime(std::time::Duration::MAX))
        .and_then(|times| times.with_warn_after(std::time::Duration::MAX))
        .and_then(|times| times.with_sweep_every(std::time::Duration::MAX))
        .unwrap();
    let backend = Backend::default();
    let pool: Pool<Conn> = PoolLayer::new(Limits::new(n(2)))
        .with_times(times)
        .layer(backend);
    for _ in 0..3 {
        drop(pool.acquire().await.unwrap());
        sleep(s(1_000)).await;
    }
}
