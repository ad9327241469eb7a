//! What there is room for, and the memory of what has died.

use std::{num::NonZeroU64, sync::mpsc};

use mainstay_ttl_cache::{Keep, TtlCache};

use crate::*;

/// Nobody calls, and yet it goes.
#[tokio::test(start_paused = true)]
async fn what_is_dead_is_removed_when_nobody_calls() {
    let cache = TtlCache::<u64, Arc<()>>::new(limits(20_000), ttl(10));
    let value = Arc::new(());
    for key in 0..10_000 {
        cache.insert(key, Arc::clone(&value));
    }
    tokio::time::sleep(seconds(9)).await;
    let entries = cache.snapshot().entries;
    assert!(entries > 9_000, "{entries}");
    // Late by up to a sixteenth of its life, rounded up to a power of two.
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(Arc::strong_count(&value), 1);
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.entries, snapshot.weight), (0, 0));
    assert_eq!(snapshot.expired as usize, entries);
}

/// One with a short life is not kept waiting by one with a long life.
#[tokio::test(start_paused = true)]
async fn the_sweep_comes_as_early_as_it_has_to() {
    let cache = cache();
    cache.insert_with(1, "long".into(), ttl(100_000));
    tokio::time::sleep(seconds(1)).await;
    cache.insert_with(2, "short".into(), ttl(1));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(cache.snapshot().entries, 1);
    assert_eq!(cache.get(&1).as_deref(), Some("long"));
}

#[tokio::test(start_paused = true)]
async fn the_task_that_sweeps_ends_with_the_cache() {
    let cache = cache();
    cache.insert(1, "value".into());
    tokio::task::yield_now().await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert_eq!(tasks(), 1);
    drop(cache);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), 0);
}

/// A cache outlives the runtime in which its first entry was.
#[test]
fn another_runtime_sweeps_when_the_first_is_gone() {
    let cache = cache();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            cache.insert(1, "value".into());
            tokio::task::yield_now().await;
            assert_eq!(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
                1
            );
        });
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_than_there_is_room_for() {
    let cache = TtlCache::<u64, u64>::new(limits(100), ttl(10));
    for key in 0..10_000 {
        cache.insert(key, key);
    }
    let snapshot = cache.snapshot();
    assert!(
        snapshot.entries <= 100 && snapshot.entries > 50,
        "{snapshot:?}"
    );
    assert_eq!(snapshot.evicted as usize, 10_000 - snapshot.entries);
}

#[tokio::test(start_paused = true)]
async fn weight_is_what_room_is_counted_in() {
    let limits = limits(100).with_weight(1_000).unwrap();
    let keep = |it: &u64| Some(Keep::from(ttl(10)).with_weight(NonZeroU64::new(*it)?));
    let cache = TtlCache::<u64, u64, _>::new(limits, keep);
    for key in 1..=100 {
        cache.insert(key, key);
        assert!(cache.snapshot().weight <= 1_000);
    }
    let snapshot = cache.snapshot();
    let weight: u64 = (1..=100).filter(|it| cache.get(it).is_some()).sum();
    assert_eq!(snapshot.weight, weight);
    assert!(snapshot.entries < 50);
}

/// A drop that asks the cache would wait for itself if it were done under a lock.
#[tokio::test(start_paused = true)]
async fn values_are_dropped_without_a_lock() {
    #[derive(Clone)]
    #[expect(dead_code, reason = "it is there to be dropped")]
    struct Asks(Arc<Asking>);
    struct Asking(TtlCache<u64, Asks>, mpsc::Sender<()>);
    impl Drop for Asking {
        fn drop(&mut self) {
            for key in 0..100 {
                let _ = self.0.get(&key);
                self.0.invalidate(&key);
            }
            let _ = self.1.send(());
        }
    }
    let cache = TtlCache::<u64, Asks>::new(limits(50), ttl(10));
    let (sender, dropped) = mpsc::channel();
    let value = || Asks(Arc::new(Asking(cache.clone(), sender.clone())));
    for key in 0..200 {
        cache.insert(key, value());
    }
    cache.insert(1, value());
    cache.insert(1, value());
    cache.invalidate_all();
    cache.insert(2, value());
    cache.invalidate_if(|_, _| true);
    cache.insert(3, value());
    wait(seconds(20)).await;
    cache.sweep();
    let load = || async { Err::<Asks, _>("refused") };
    assert!(cache.get_or_load(&4, load).await.is_err());
    assert_eq!(dropped.try_iter().count(), 204);
    assert_eq!(cache.snapshot().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_ends_of_what_came_at_once() {
    let ttl = ttl(100).with_jitter(0.5).unwrap();
    let cache = TtlCache::<u64, u64>::new(limits(10_000), ttl);
    for key in 0..1_000 {
        cache.insert(key, key);
    }
    let alive = || (0..1_000).filter(|it| cache.get(it).is_some()).count();
    tokio::time::advance(seconds(50)).await;
    assert_eq!(alive(), 1_000);
    tokio::time::advance(seconds(25)).await;
    assert!((400..600).contains(&alive()), "{}", alive());
    tokio::time::advance(seconds(25)).await;
    assert_eq!(alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_kept_is_behind_by_no_more_than_its_steps() {
    let cache = TtlCache::<u64, u64>::new(limits(10), ttl(10));
    let time = tokio::spawn(cache.keep_time(millis(100)));
    tokio::time::sleep(millis(30)).await;
    cache.insert(1, 1);
    tokio::time::sleep(seconds(10) - millis(1)).await;
    assert_eq!(cache.get(&1), Some(1));
    // Its time was over 20 ms ago, and the last step 50 ms ago.
    tokio::time::sleep(millis(21)).await;
    assert_eq!(cache.get(&1), Some(1));
    tokio::time::sleep(millis(51)).await;
    assert_eq!(cache.get(&1), None);
    // Without it the time is exact.
    time.abort();
    assert!(time.await.unwrap_err().is_cancelled());
    cache.insert(1, 1);
    wait(seconds(10) - millis(1)).await;
    assert_eq!(cache.get(&1), Some(1));
    wait(millis(1)).await;
    assert_eq!(cache.get(&1), None);
}

#[tokio::test(start_paused = true)]
async fn the_time_is_kept_until_the_cache_goes() {
    let cache = TtlCache::<u64, u64>::new(limits(10), ttl(10));
    let time = tokio::spawn(cache.keep_time(millis(100)));
    tokio::time::sleep(seconds(1)).await;
    assert!(!time.is_finished());
    drop(cache);
    time.await.unwrap();
}
