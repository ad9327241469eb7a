//! One load for all who want one key.

use mainstay_ttl_cache::{LoadFailed, Panicked, TtlCache};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use crate::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_of_a_key_share_one_load_and_two_keys_load_at_once() {
    let (cache, loads) = (cache(), Loads::default());
    let calls: Vec<_> = (0..1_000)
        .map(|it| tokio::spawn(cache.get_or_load(&(it % 2), loads.take(millis(20)))))
        .collect();
    let start = tokio::time::Instant::now();
    for call in calls {
        let value = call.await.unwrap().unwrap();
        assert!(["1", "2"].contains(&&*value));
    }
    assert_eq!(start.elapsed().as_millis(), 20);
    loads.assert(2);
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.misses, snapshot.waiters), (2, 998));
    assert_eq!((snapshot.loaded, snapshot.loading), (2, 0));
    assert_eq!(snapshot.load_time, millis(40));
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_is_given_until_its_time_is_over_counted_from_its_coming() {
    let (cache, loads) = (cache(), Loads::default());
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(4))).await.unwrap(),
        "1"
    );
    wait(seconds(10) - millis(1)).await;
    assert_eq!(cache.get(&1).as_deref(), Some("1"));
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(4))).await.unwrap(),
        "1"
    );
    wait(millis(1)).await;
    assert_eq!(cache.get(&1), None);
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(4))).await.unwrap(),
        "2"
    );
    loads.assert(2);
}

/// Whoever is aborted, after however many polls of the load: the others get the value of the same load.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_aborted_at_an_await_point_fails_and_hangs_nobody() {
    for polls in 0..=5 {
        let (cache, loads) = (cache(), Loads::default());
        let counted = loads.clone();
        let load = move || async move {
            counted.0.fetch_add(1, Ordering::SeqCst);
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            Ok::<_, Infallible>("value".to_owned())
        };
        let mut leader = task::spawn(cache.get_or_load(&1, load.clone()));
        let waiter = tokio::spawn(cache.get_or_load(&1, load));
        for _ in 0..polls {
            if leader.poll().is_ready() {
                break;
            }
        }
        drop(leader);
        assert_eq!(waiter.await.unwrap().unwrap(), "value");
        loads.assert(1);
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_leaders_aborted_in_turn_panic_nobody() {
    let (cache, loads) = (cache(), Loads::default());
    let calls: Vec<_> = (0..400)
        .map(|_| tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1)))))
        .collect();
    let mut calls = calls.into_iter();
    for _ in 0..200 {
        tokio::task::yield_now().await;
        calls.next().unwrap().abort();
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn up_to_seven_that_are_not_polled_any_more_stall_nobody() {
    let (cache, loads) = (cache(), Loads::default());
    let stalled: Vec<_> = (0..7)
        .map(|_| {
            let mut call = task::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
            assert_pending!(call.poll());
            call
        })
        .collect();
    let value = tokio::time::timeout(seconds(2), cache.get_or_load(&1, loads.take(seconds(1))));
    assert_eq!(value.await.expect("it hangs").unwrap(), "1");
    drop(stalled);
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn any_number_that_are_not_polled_any_more_stall_no_load_of_its_own_task() {
    let limits = limits(10).with_detached_loads();
    let (cache, loads) = (TtlCache::new(limits, ttl(10)), Loads::default());
    let stalled: Vec<_> = (0..1_000)
        .map(|_| {
            let mut call = task::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
            assert_pending!(call.poll());
            call
        })
        .collect();
    let value = tokio::time::timeout(seconds(2), cache.get_or_load(&1, loads.take(seconds(1))));
    assert_eq!(value.await.expect("it hangs").unwrap(), "1");
    drop(stalled);
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn a_load_is_dropped_when_nobody_waits_any_more_and_another_can_begin() {
    let (cache, loads) = (cache(), Loads::default());
    let mut calls = [(); 2].map(|()| task::spawn(cache.get_or_load(&1, loads.take(seconds(1)))));
    calls.iter_mut().for_each(|it| assert_pending!(it.poll()));
    drop(calls);
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.abandoned, snapshot.loading), (1, 0));
    wait(seconds(2)).await;
    assert_eq!(cache.get(&1), None);
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(1))).await.unwrap(),
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_of_its_own_task_is_finished_though_nobody_waits() {
    let limits = limits(10).with_detached_loads();
    let (cache, loads) = (TtlCache::new(limits, ttl(10)), Loads::default());
    drop(cache.get_or_load(&1, loads.take(seconds(1))));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(cache.get(&1).as_deref(), Some("1"));
    assert_eq!(cache.snapshot().abandoned, 0);
}

/// Waiters of a load that sleeps are not polled, and the load is polled as often as it is woken.
#[tokio::test(start_paused = true)]
async fn waiters_cost_nothing_while_the_load_sleeps() {
    let cache = cache();
    let polls = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let polled = Arc::clone(&polls);
            let load = move || {
                let mut sleep = Box::pin(tokio::time::sleep(millis(100)));
                std::future::poll_fn(move |cx| {
                    polled.fetch_add(1, Ordering::SeqCst);
                    sleep
                        .as_mut()
                        .poll(cx)
                        .map(|()| Ok::<_, Infallible>(String::new()))
                })
            };
            task::spawn(cache.get_or_load(&1, load))
        })
        .collect();
    let mut calls = calls;
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    assert_eq!(polls.load(Ordering::SeqCst), 1);
    wait(millis(50)).await;
    assert_eq!(calls.iter().filter(|it| it.is_woken()).count(), 0);
    tokio::time::sleep(millis(51)).await;
    assert_eq!(calls.iter().filter(|it| it.is_woken()).count(), 8);
    assert_ready_ok!(calls[0].poll());
    assert_eq!(polls.load(Ordering::SeqCst), 2);
    for call in &mut calls[1..] {
        assert!(call.is_woken());
        assert_ready_ok!(call.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_those_who_waited_and_not_kept() {
    let (cache, loads) = (cache(), Loads::default());
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(cache.get_or_load(&1, loads.fail(millis(30)))))
        .collect();
    let start = tokio::time::Instant::now();
    for call in calls {
        let failed = call.await.unwrap().unwrap_err();
        assert_eq!(failed.cause().to_string(), "refused 1");
    }
    assert_eq!(start.elapsed().as_millis(), 30);
    loads.assert(1);
    assert_eq!(
        cache.get_or_load(&1, loads.take(millis(1))).await.unwrap(),
        "2"
    );
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.failed, snapshot.loaded), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_to_those_who_waited_and_the_next_loads_anew() {
    let (cache, loads) = (cache(), Loads::default());
    for is_late in [false, true] {
        let load = move || async move {
            if is_late {
                tokio::task::yield_now().await;
            }
            let text = "fell over";
            panic!("{text}");
            #[allow(unreachable_code)]
            Ok::<String, Infallible>(String::new())
        };
        let calls = [(); 3].map(|()| tokio::spawn(cache.get_or_load(&1, load)));
        for call in calls {
            let failed = call.await.expect("no caller panics").unwrap_err();
            let panicked = failed.cause().downcast_ref::<Panicked>().unwrap();
            assert_eq!(panicked.message(), Some("fell over"));
        }
    }
    assert_eq!(
        cache.get_or_load(&1, loads.take(millis(1))).await.unwrap(),
        "1"
    );
    assert_eq!(
        cache.snapshot().failed,
        if cfg!(panic = "unwind") { 2 } else { 0 }
    );
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_when_it_is_called_fails_its_load() {
    let cache = cache();
    let load = || -> Loading { panic!("at once") };
    let failed = cache.get_or_load(&1, load).await.unwrap_err();
    assert!(failed.cause().is::<Panicked>());
}

#[tokio::test(start_paused = true)]
async fn what_decides_what_is_kept_may_panic_and_fails_the_load() {
    let keep = |it: &u64| -> Option<mainstay_ttl_cache::Keep> { panic!("not {it}") };
    let cache = TtlCache::<u64, u64, _>::new(limits(10), keep);
    let load = || async { Ok::<_, Infallible>(7) };
    let failed = cache.get_or_load(&1, load).await.unwrap_err();
    assert_eq!(failed.cause().to_string(), "panicked: not 7");
    assert_eq!(cache.snapshot().loading, 0);
}

#[test]
fn a_failure_says_whose_it_is() {
    let cache = TtlCache::<u64, u64>::named("users", limits(10), ttl(1));
    let load = || async { Err::<u64, _>("refused") };
    let failed = assert_ready_err!(task::spawn(cache.get_or_load(&1, load)).poll());
    assert_eq!(failed.cache(), Some("users"));
    assert_eq!(failed.to_string(), "load of cache users failed");
    assert_eq!(cache.name(), Some("users"));
}

/// The error's own cause is found below it.
#[test]
fn a_failure_has_its_cause_as_source() {
    let cache = TtlCache::<u64, u64>::new(limits(10), ttl(1));
    let load = || async { Err::<u64, _>(std::io::Error::other("gone")) };
    let mut call = task::spawn(cache.get_or_load(&1, load));
    let failed: LoadFailed = assert_ready_err!(call.poll());
    assert_eq!(failed.to_string(), "load failed");
    let source = std::error::Error::source(&failed).unwrap();
    assert!(source.is::<std::io::Error>());
}

#[test]
fn works_without_a_runtime() {
    let cache = TtlCache::<u64, u64>::new(limits(10), ttl(1_000));
    let load = || async { Ok::<_, Infallible>(7) };
    assert_eq!(
        assert_ready!(task::spawn(cache.get_or_load(&1, load)).poll()).unwrap(),
        7
    );
    assert_eq!(cache.get(&1), Some(7));
}

/// An old value that cannot be copied stands in for nothing, and nobody hangs.
#[tokio::test(start_paused = true)]
async fn a_value_whose_clone_panics_fails_the_load_and_hangs_nobody() {
    struct Fragile(Arc<AtomicUsize>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert_eq!(self.0.load(Ordering::SeqCst), 0, "broken");
            Self(Arc::clone(&self.0))
        }
    }
    let ttl = ttl(10).with_stale_if_error(seconds(10));
    let cache = TtlCache::<u64, Fragile>::new(limits(10), ttl);
    let broken = Arc::<AtomicUsize>::default();
    cache.insert(1, Fragile(Arc::clone(&broken)));
    wait(seconds(11)).await;
    let load = || async {
        tokio::task::yield_now().await;
        Err::<Fragile, _>("refused")
    };
    let calls = [(); 3].map(|()| cache.get_or_load(&1, load));
    broken.store(1, Ordering::SeqCst);
    for call in calls.map(tokio::spawn) {
        let outcome = tokio::time::timeout(seconds(1), call)
            .await
            .expect("it hangs");
        let failed = outcome.expect("no caller panics").err().expect("no value");
        assert!(failed.cause().is::<Panicked>());
    }
    assert_eq!(cache.snapshot().loading, 0);
}
