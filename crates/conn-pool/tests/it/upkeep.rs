use std::cell::RefCell;
use std::io;
use std::sync::Once;

use mainstay_conn_pool::{CloseReason, Limits, PoolLayer, Times};
use tokio::time::{advance, sleep, timeout};
use tower::Layer;

use crate::support::{Backend, ms, n, pool, pool_with, s, settle};

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_for_long_is_closed_down_to_the_minimum() {
    let backend = Backend::default();
    let limits = Limits::new(n(5)).with_min_size(2).unwrap();
    let times = Times::new().with_idle_for(s(60)).unwrap();
    let pool = pool_with(&backend, limits, times);
    let leases = futures_util::future::join_all((0..4).map(|_| pool.acquire())).await;
    sleep(s(100)).await;
    assert_eq!(pool.snapshot().sizes.lent, 4);
    drop(leases);
    sleep(s(59)).await;
    assert_eq!(pool.snapshot().sizes.idle, 4);
    sleep(s(2)).await;
    assert_eq!(pool.snapshot().sizes.idle, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Idle), 2);
    sleep(s(600)).await;
    assert_eq!((pool.snapshot().sizes.idle, backend.state().made), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_at_its_own_time_for_each() {
    let backend = Backend::default();
    let limits = Limits::new(n(50)).with_min_size(50).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    sleep(s(27 * 60 - 1)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 0);
    let mut ends = Vec::new();
    for _ in 0..182 {
        ends.push(pool.snapshot().closed(CloseReason::Lifetime));
        sleep(s(1)).await;
    }
    let most = ends.windows(2).map(|it| it[1] - it[0]).max().unwrap();
    assert!(most <= 5, "{most} ended together");
    assert_eq!(ends.last(), Some(&50));
    assert_eq!(pool.snapshot().sizes.idle, 50);
}

#[tokio::test(start_paused = true)]
async fn one_lent_past_its_lifetime_is_closed_when_it_comes_back() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    sleep(s(31 * 60)).await;
    assert_eq!(lease.id, 0);
    drop(lease);
    assert_eq!(pool.acquire().await.unwrap().id, 1);
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 1);
}

#[tokio::test(start_paused = true)]
async fn with_room_for_it_the_successor_is_ready_before_the_old_one_goes() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(2).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().connect_for = s(2);
    backend.state().close_for = s(1);
    pool.replace_all();
    let mut fewest = u32::MAX;
    for _ in 0..100 {
        sleep(ms(100)).await;
        fewest = fewest.min(pool.snapshot().sizes.idle);
    }
    assert_eq!(fewest, 2);
    assert_eq!(backend.state().closed, [0, 1]);
    assert_eq!(backend.state().peak, 3);
    assert_eq!(pool.snapshot().sizes.idle, 2);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_old_ones_go_first_one_at_a_time() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(3).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().connect_for = s(1);
    pool.replace_all();
    let mut fewest = u32::MAX;
    for _ in 0..50 {
        sleep(ms(100)).await;
        fewest = fewest.min(pool.snapshot().sizes.idle);
    }
    assert_eq!(fewest, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 3);
    assert_eq!(pool.snapshot().sizes.idle, 3);
}

#[tokio::test(start_paused = true)]
async fn a_good_one_is_kept_while_no_other_can_be_made() {
    let backend = Backend::default();
    let limits = Limits::new(n(3)).with_min_size(2).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().refuses = Some("down");
    pool.replace_all();
    sleep(s(10)).await;
    assert_eq!(pool.snapshot().sizes.idle, 2);
    assert!(pool.snapshot().failed > 10);
    assert!(pool.acquire().await.unwrap().id < 2);
    backend.state().refuses = None;
    sleep(s(1)).await;
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 2);
    assert_eq!(pool.snapshot().sizes.idle, 2);
}

#[tokio::test(start_paused = true)]
async fn without_room_no_second_one_goes_while_the_first_has_no_successor() {
    let backend = Backend::default();
    let limits = Limits::new(n(2)).with_min_size(2).unwrap();
    let pool = pool_with(&backend, limits, Times::new());
    pool.warm_up().await.unwrap();
    backend.state().refuses = Some("down");
    pool.replace_all();
    sleep(s(10)).await;
    assert_eq!(pool.snapshot().sizes.idle, 1);
    backend.state().refuses = None;
    sleep(s(1)).await;
    assert_eq!(pool.snapshot().sizes.idle, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 2);
}

#[tokio::test(start_paused = true)]
async fn those_replaced_while_they_are_being_checked_are_not_counted_on() {
    let backend = Backend::default();
    let limits = Limits::new(n(4)).with_min_size(2).unwrap();
    let times = Times::new().with_check_within(s(5)).unwrap();
    let pool = pool_with(&backend, limits, times);
    pool.warm_up().await.unwrap();
    drop(futures_util::future::join_all((0..3).map(|_| pool.acquire())).await);
    advance(s(2)).await;
    backend.state().check_for = s(2);
    backend.state().connect_for = s(1);
    // One that does not wait has all of them checked.
    assert!(pool.try_acquire().is_none());
    settle().await;
    assert_eq!(backend.state().checks_at_once, 3);
    pool.replace_all();
    let mut fewest = u32::MAX;
    for _ in 0..100 {
        sleep(ms(100)).await;
        let sizes = pool.snapshot().sizes;
        fewest = fewest.min(sizes.idle + sizes.lent);
    }
    assert_eq!(fewest, 2);
    assert_eq!(pool.snapshot().closed(CloseReason::Lifetime), 3);
    assert_eq!(pool.snapshot().sizes.idle, 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_pool_does_nothing() {
    let backend = Backend::default();
    let pool = pool_with(&backend, Limits::new(n(5)), Times::new());
    drop(pool.acquire().await.unwrap());
    sleep(s(3600)).await;
    assert_eq!(backend.state().made, 1);
    assert_eq!(pool.snapshot().sizes, Default::default());
}

#[tokio::test(start_paused = true)]
async fn warns_once_of_what_is_lent_for_long_and_says_where() {
    Log::listen();
    let backend = Backend::default();
    let pool = PoolLayer::new(Limits::new(n(2)))
        .with_name("db")
        .with_times(Times::new().with_warn_after(s(30)).unwrap())
        .layer(backend);
    advance(s(10)).await;
    let _long = pool.acquire().await.unwrap();
    let line = line!() - 1;
    sleep(s(29)).await;
    drop(pool.acquire().await.unwrap());
    assert!(!Log::text().contains("lent for long"));
    sleep(s(100)).await;
    let text = Log::text();
    assert_eq!(text.matches("connection lent for long").count(), 1);
    assert!(text.contains(&format!("upkeep.rs:{line}:")), "{text}");
    assert!(text.contains("name=\"db\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn warns_of_each_who_was_handed_what_is_lent_for_long() {
    Log::listen();
    let backend = Backend::default();
    let times = Times::new()
        .with_warn_after(s(30))
        .and_then(|times| times.with_acquire_within(s(100)))
        .unwrap();
    let pool = pool_with(&backend, Limits::new(n(1)), times);
    let first = pool.acquire().await.unwrap();
    let second = tokio::spawn(pool.clone().acquire_owned());
    sleep(s(31)).await;
    drop(first);
    let _second = second.await.unwrap().unwrap();
    sleep(s(31)).await;
    let text = Log::text();
    assert_eq!(
        text.matches("connection lent for long").count(),
        2,
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn says_when_connecting_fails_and_when_it_works_again() {
    Log::listen();
    let backend = Backend::default();
    backend.state().refuses = Some("down");
    let pool = pool(&backend, 1);
    pool.acquire().await.unwrap_err();
    timeout(ms(150), pool.acquire()).await.unwrap().unwrap_err();
    backend.state().refuses = None;
    pool.acquire().await.unwrap();
    settle().await;
    let text = Log::text();
    assert_eq!(text.matches("connecting fails").count(), 1, "{text}");
    assert_eq!(text.matches("connecting works again").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_work_again_while_what_is_made_breaks_at_once() {
    Log::listen();
    let backend = Backend::default();
    backend.state().broken_below = u32::MAX;
    let limits = Limits::new(n(1)).with_min_size(1).unwrap();
    let _pool = pool_with(&backend, limits, Times::new());
    sleep(s(1)).await;
    backend.state().broken_below = 0;
    sleep(ms(500)).await;
    backend.crash();
    sleep(s(1)).await;
    let text = Log::text();
    assert_eq!(text.matches("connecting fails ").count(), 1, "{text}");
    assert_eq!(text.matches("connecting works again").count(), 0, "{text}");
    sleep(s(2)).await;
    let text = Log::text();
    assert_eq!(text.matches("connecting works again").count(), 1, "{text}");
}

/// What was logged in this thread, which is that of one test. For all threads there is one listener:
/// what a thread says first, while others have none, may otherwise never be heard.
struct Log;

thread_local! {
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let format = tracing_subscriber::fmt().with_ansi(false);
            format.with_writer(|| Self).init();
        });
    }

    fn text() -> String {
        TEXT.with_borrow(|text| String::from_utf8(text.clone()).unwrap())
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TEXT.with_borrow_mut(|text| text.extend(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
