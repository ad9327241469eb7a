use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_conn_pool::{AcquireError, Connection, Limits, Times};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{advance, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};

use crate::support::{Backend, ms, n, pool, pool_with, s, settle};

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let mut lease = Some(pool.acquire().await.unwrap());
    let mut waiters: Vec<_> = (0..5).map(|_| task::spawn(pool.acquire())).collect();
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    for i in 0..waiters.len() {
        drop(lease.take());
        let woken: Vec<_> = waiters.iter().map(|it| it.is_woken()).collect();
        assert!(woken[i] && !woken[i + 1..].contains(&true), "{woken:?}");
        lease = Some(assert_ready!(waiters[i].poll()).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut first = task::spawn(pool.acquire());
    assert_pending!(first.poll());
    drop(lease);
    // The first has been told, but has not come yet.
    let mut newcomer = task::spawn(pool.acquire());
    assert_pending!(newcomer.poll());
    drop(assert_ready!(first.poll()).unwrap());
    assert_ready!(newcomer.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_busy_task_starves_nobody() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let rounds = Arc::new(AtomicU32::new(0));
    let busy = tokio::spawn({
        let (pool, rounds) = (pool.clone(), rounds.clone());
        async move {
            loop {
                let lease = pool.acquire().await.unwrap();
                rounds.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                drop(lease);
            }
        }
    });
    settle().await;
    let before = rounds.load(Ordering::Relaxed);
    let lease = pool.acquire().await.unwrap();
    assert!(rounds.load(Ordering::Relaxed) - before <= 1);
    drop(lease);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lease_handed_over_begins_where_and_when_its_holder_got_it() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let first = pool.acquire().await.unwrap();
    let mut second = task::spawn(pool.acquire());
    let line = line!() - 1;
    assert_pending!(second.poll());
    advance(ms(700)).await;
    drop(first);
    advance(ms(20)).await;
    let (lent_for, place) = pool.snapshot().oldest_lease().unwrap();
    assert_eq!((lent_for, place.line()), (ms(20), line));
    let second = assert_ready!(second.poll()).unwrap();
    assert_eq!((second.lent_for(), second.age()), (ms(20), ms(720)));
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_hands_on_what_it_was_given() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut first = task::spawn(pool.acquire());
    let mut second = task::spawn(pool.acquire());
    let mut third = task::spawn(pool.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    drop(lease);
    assert!(first.is_woken());
    drop(first);
    assert!(second.is_woken());
    drop(second);
    assert!(third.is_woken());
    assert_ready!(third.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_leaves_the_queue() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut first = task::spawn(pool.acquire());
    let mut second = task::spawn(pool.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(pool.snapshot().sizes.waiting, 2);
    drop(first);
    assert_eq!(pool.snapshot().sizes.waiting, 1);
    drop(lease);
    assert_ready!(second.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_moves_to_another_task_is_woken_there() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.clone().acquire_owned());
    assert!(timeout(ms(1), &mut waiting).await.is_err());
    let waiter = tokio::spawn(waiting);
    settle().await;
    drop(lease);
    waiter.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_waits_for_as_long_as_it_may() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let _lease = pool.acquire().await.unwrap();
    let first = tokio::spawn(pool.clone().acquire_owned());
    settle().await;
    advance(s(2)).await;
    let second = tokio::spawn(pool.clone().acquire_owned());
    settle().await;
    advance(s(3)).await;
    settle().await;
    assert!(first.is_finished() && !second.is_finished());
    advance(ms(1999)).await;
    settle().await;
    assert!(!second.is_finished());
    advance(ms(1)).await;
    settle().await;
    assert!(matches!(
        second.await.unwrap(),
        Err(AcquireError::TimedOut(_))
    ));
    assert_eq!(pool.snapshot().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_is_polled_only_when_there_is_news() {
    let backend = Backend::default();
    let pool = pool(&backend, 1);
    let lease = pool.acquire().await.unwrap();
    let mut polls = 0;
    let mut waiting = std::pin::pin!(pool.acquire());
    let counted = std::future::poll_fn(|cx| {
        polls += 1;
        waiting.as_mut().poll(cx)
    });
    let release = async {
        sleep(s(4)).await;
        drop(lease);
    };
    let (waited, ()) = tokio::join!(tokio::task::unconstrained(counted), release);
    waited.unwrap();
    // The join polls both when either has news: at first, when the lease ends, and then.
    assert!(polls <= 3, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn users_share_what_there_is() {
    let backend = Backend::default();
    let pool = pool(&backend, 10);
    let users = (0..10).map(|_| async {
        for _ in 0..100 {
            let lease = pool.acquire().await.unwrap();
            tokio::task::yield_now().await;
            drop(lease);
        }
    });
    futures_util::future::join_all(users).await;
    assert!(backend.state().made <= 10);
    assert_eq!(pool.snapshot().leased, 1000);
}

/// Whatever is dropped, and whenever: all is accounted for, and a pool of one still lends it.
#[tokio::test(start_paused = true)]
async fn a_wait_dropped_after_any_number_of_polls_leaves_no_trace() {
    for polls in 0..12 {
        for check_after_idle in [s(1), ms(0)] {
            let backend = Backend::default();
            backend.state().connect_for = ms(2);
            backend.state().check_for = ms(2);
            let times = Times::new().with_check_after_idle(check_after_idle);
            let pool = pool_with(&backend, Limits::new(n(1)), times);
            let other = tokio::spawn({
                let pool = pool.clone();
                async move {
                    let mut lease = pool.acquire().await.unwrap();
                    sleep(ms(3)).await;
                    lease.broken = polls % 2 == 0;
                }
            });
            let mut waiter = task::spawn(pool.acquire());
            for _ in 0..polls {
                if waiter.poll().is_ready() {
                    break;
                }
                sleep(ms(1)).await;
            }
            drop(waiter);
            other.await.unwrap();
            sleep(ms(10)).await;
            let sizes = pool.snapshot().sizes;
            assert_eq!(sizes.idle + sizes.connecting, backend.state().live);
            assert_eq!((sizes.lent, sizes.closing, sizes.waiting), (0, 0, 0));
            timeout(s(1), pool.acquire()).await.unwrap().unwrap();
        }
    }
}

#[test]
fn never_exceeds_its_maximum_under_a_thousand_tasks() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let backend = Backend::default();
        backend.state().connect_for = ms(1);
        let pool = pool(&backend, 2);
        let users = (0..1000).map(|seed| {
            let (pool, backend) = (pool.clone(), backend.clone());
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed);
                if seed % 100 == 0 {
                    backend.state().panics ^= true;
                }
                let patience = ms(rng.random_range(0..40));
                let Ok(Ok(mut lease)) = timeout(patience, pool.acquire()).await else {
                    return;
                };
                if rng.random_ratio(1, 4) {
                    tokio::task::yield_now().await;
                }
                lease.broken = rng.random_ratio(1, 4);
                assert!(!lease.is_broken() || lease.broken);
                if rng.random_ratio(1, 20) {
                    panic!("as a test wants it");
                }
            })
        });
        futures_util::future::join_all(users).await;
        backend.state().panics = false;
        assert_eq!(backend.state().peak, 2);
        // Those under way come to an end.
        for _ in 0..2 {
            drop(pool.acquire().await);
        }
        pool.drain(s(5)).await.unwrap();
        assert_eq!(backend.state().live, 0);
    });
}
