//! The data loader.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use mainstay_batch::{BatchFailed, BoxError, Limits, Loader, Panicked};
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready, task};

use crate::limits;

#[tokio::test(start_paused = true)]
async fn a_key_is_loaded_once_however_many_ask() {
    let store = Store::default();
    let loader = store.loader(limits(10));
    let loads: Vec<_> = (0..100)
        .map(|it| tokio::spawn(loader.load(it % 4)))
        .collect();
    for (item, load) in (0..100).zip(loads) {
        assert_eq!(load.await.unwrap().unwrap(), Some(value(item % 4)));
    }
    assert_eq!(store.sent(), [[0, 1, 2, 3]]);
    // Nothing is remembered.
    assert_eq!(loader.load(1).await.unwrap(), Some(value(1)));
    assert_eq!(store.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_being_loaded_is_not_loaded_again() {
    let store = Store::gated();
    let loader = store.loader(limits(10).with_batches(4).unwrap());
    let first = tokio::spawn(loader.load(1));
    settle().await;
    assert_eq!(store.sent(), [[1]]);
    let second = tokio::spawn(loader.load_many([1, 2]));
    settle().await;
    assert_eq!(store.sent(), [[1], [2]]);
    store.open();
    assert_eq!(first.await.unwrap().unwrap(), Some(value(1)));
    let second = second.await.unwrap();
    assert_eq!(second[0].as_ref().unwrap(), &Some(value(1)));
    assert_eq!(second[1].as_ref().unwrap(), &Some(value(2)));
    assert_eq!(store.sent().len(), 2);
}

/// The maximum is one, and not a trigger.
#[tokio::test(start_paused = true)]
async fn no_batch_has_more_keys_than_the_limit() {
    let store = Store::default();
    let loader = store.loader(limits(10).with_waiting(20).unwrap());
    let found = loader.load_many(0..95).await;
    for (key, found) in (0..95).zip(found) {
        assert_eq!(found.unwrap(), Some(value(key)));
    }
    let sizes: Vec<_> = store.sent().iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 95);
    assert!(sizes.iter().all(|it| *it <= 10), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn no_value_is_not_an_error() {
    let store = Store::default();
    let loader = store.loader(limits(10));
    let found = loader.load_many([1, MISSING, BROKEN, 2, MISSING]).await;
    assert_eq!(found[0].as_ref().unwrap(), &Some(value(1)));
    assert_eq!(found[1].as_ref().unwrap(), &None);
    let failed = found[2].as_ref().unwrap_err();
    assert_eq!(failed.cause().to_string(), "no");
    assert_eq!(found[3].as_ref().unwrap(), &Some(value(2)));
    assert_eq!(found[4].as_ref().unwrap(), &None);
    assert_eq!(store.sent()[0], [1, MISSING, BROKEN, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_fails_those_who_wait_for_it() {
    let store = Store::default();
    let loader = store.loader(limits(10));
    let loads = [7, PANICS, 7].map(|it| tokio::spawn(loader.load(it)));
    for load in loads {
        let failed = load.await.unwrap().unwrap_err();
        let batch = failed.cause().downcast_ref::<BatchFailed>().unwrap();
        assert!(batch.cause().is::<Panicked>());
    }
    assert_eq!(loader.load(7).await.unwrap(), Some(value(7)));
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_takes_nothing_from_the_others() {
    // Whoever polls first, and whoever goes when.
    for goes in 0..3 {
        for polls in 0..3 {
            let store = Store::gated();
            let loader = store.loader(limits(10));
            let mut loads: Vec<_> = (0..3).map(|_| Some(task::spawn(loader.load(1)))).collect();
            for _ in 0..polls {
                for load in loads.iter_mut().flatten() {
                    assert_pending!(load.poll());
                }
                settle().await;
            }
            loads[goes] = None;
            for load in loads.iter_mut().flatten() {
                assert_pending!(load.poll());
            }
            store.open();
            settle().await;
            for load in loads.iter_mut().flatten() {
                assert!(load.is_woken());
                assert_eq!(assert_ready!(load.poll()).unwrap(), Some(value(1)));
            }
            assert_eq!(store.sent(), [[1]]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_waits_for_is_not_loaded() {
    let store = Store::gated();
    let loader = store.loader(limits(10));
    let first = tokio::spawn(loader.load(1));
    settle().await;
    let mut dropped = [2, 2, 3].map(|it| task::spawn(loader.load(it)));
    for load in &mut dropped {
        assert_pending!(load.poll());
    }
    let [second, third, _stays] = dropped;
    drop((second, third));
    store.open();
    first.await.unwrap().unwrap();
    settle().await;
    assert_eq!(store.sent(), [[1], [3]]);
    // Asked for again, it is.
    assert_eq!(loader.load(2).await.unwrap(), Some(value(2)));
}

#[tokio::test(start_paused = true)]
async fn a_primed_value_is_at_hand() {
    let store = Store::default();
    let loader = store.loader(limits(10));
    loader.prime(1, "primed".to_owned());
    assert_eq!(loader.load(1).await.unwrap().unwrap(), "primed");
    let found = loader.load_many([1, 2]).await;
    assert_eq!(found[1].as_ref().unwrap(), &Some(value(2)));
    // It does not count as an item of a batch.
    assert_eq!(store.sent(), [[2]]);
    loader.clear(&1);
    assert_eq!(loader.load(1).await.unwrap(), Some(value(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_at_hand_is_not_held_up_by_a_load() {
    let store = Store::gated();
    let loader = store.loader(limits(10));
    loader.prime(1, value(1));
    let _load = tokio::spawn(loader.load(2));
    settle().await;
    let mut at_hand = task::spawn(loader.load(1));
    assert_eq!(assert_ready!(at_hand.poll()).unwrap(), Some(value(1)));
}

#[tokio::test(start_paused = true)]
async fn a_cleared_key_is_loaded_anew() {
    let store = Store::gated();
    let loader = store
        .loader(limits(10).with_batches(2).unwrap())
        .with_memory(NonZeroUsize::new(10).unwrap());
    let before = tokio::spawn(loader.load(1));
    settle().await;
    loader.clear(&1);
    let after = tokio::spawn(loader.load(1));
    settle().await;
    assert_eq!(store.sent(), [[1], [1]]);
    store.open();
    assert_eq!(before.await.unwrap().unwrap(), Some(value(1)));
    assert_eq!(after.await.unwrap().unwrap(), Some(value(1)));
}

#[tokio::test(start_paused = true)]
async fn a_load_under_way_does_not_replace_what_was_primed() {
    let store = Store::gated();
    let loader = store
        .loader(limits(10))
        .with_memory(NonZeroUsize::new(10).unwrap());
    let load = tokio::spawn(loader.load(1));
    settle().await;
    loader.prime(1, "newer".to_owned());
    store.open();
    assert_eq!(load.await.unwrap().unwrap(), Some(value(1)));
    assert_eq!(loader.load(1).await.unwrap().unwrap(), "newer");
}

#[tokio::test(start_paused = true)]
async fn with_a_memory_what_was_loaded_is_at_hand_but_no_errors() {
    let store = Store::default();
    let loader = store
        .loader(limits(10))
        .with_memory(NonZeroUsize::new(2).unwrap());
    for _ in 0..2 {
        assert_eq!(loader.load(1).await.unwrap(), Some(value(1)));
        assert_eq!(loader.load(MISSING).await.unwrap(), None);
    }
    assert_eq!(store.sent(), [[1], [MISSING]]);
    loader.load(BROKEN).await.unwrap_err();
    loader.load(BROKEN).await.unwrap_err();
    assert_eq!(store.sent().len(), 4);
    // A third one drives out the first.
    loader.load(2).await.unwrap();
    loader.load(MISSING).await.unwrap();
    assert_eq!(store.sent().len(), 5);
    loader.load(1).await.unwrap();
    assert_eq!(store.sent().len(), 6);
}

/// Of many keys, a batch has only those polled that it answers. Time is real here, since it is what
/// would grow: twenty times for twenty times as many keys, for each of them.
#[tokio::test]
async fn a_key_among_many_costs_no_more_than_one_among_few() {
    let mut cost = [Duration::MAX; 2];
    for _ in 0..3 {
        for (keys, cost) in [2_000, 40_000].into_iter().zip(&mut cost) {
            let loader = Store::default().loader(limits(100));
            let start = tokio::time::Instant::now();
            let found = loader.load_many(1_000..1_000 + keys).await;
            *cost = (*cost).min(start.elapsed() / keys);
            for (key, found) in (1_000..).zip(found) {
                assert_eq!(found.unwrap(), Some(value(key)));
            }
        }
    }
    assert!(cost[1] < 4 * cost[0], "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_found_in_their_order_with_some_twice() {
    let loader = Store::default().loader(limits(7));
    let keys = || (0..1_000).map(|it| 1_000 + it * 37 % 300);
    let found = loader.load_many(keys()).await;
    assert_eq!(found.len(), 1_000);
    for (key, found) in keys().zip(found) {
        assert_eq!(found.unwrap(), Some(value(key)));
    }
    assert!(loader.load_many([]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_on_two_threads_all_find_theirs() {
    let store = Store::default();
    let loader = store.loader(
        limits(16)
            .with_batches(2)
            .unwrap()
            .with_waiting(32)
            .unwrap(),
    );
    let tasks: Vec<_> = (0..64_u32)
        .map(|task| {
            let loader = loader.clone();
            tokio::spawn(async move {
                for step in 0..200 {
                    let key = (task * 7 + step * 13) % 50;
                    assert_eq!(loader.load(key).await.unwrap(), Some(value(key)));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for batch in store.sent() {
        let mut keys = batch.clone();
        keys.sort_unstable();
        keys.dedup();
        assert!(keys.len() == batch.len() && keys.len() <= 16, "{batch:?}");
    }
}

const MISSING: u32 = 404;
const BROKEN: u32 = 500;
const PANICS: u32 = 666;

/// Where values come from, and what it was asked for.
#[derive(Clone)]
struct Store {
    sent: Arc<Mutex<Vec<Vec<u32>>>>,
    gate: Arc<Semaphore>,
}

impl Default for Store {
    fn default() -> Self {
        let store = Self::gated();
        store.open();
        store
    }
}

impl Store {
    /// Answers when it has been opened.
    fn gated() -> Self {
        Self {
            sent: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn open(&self) {
        self.gate.close();
    }

    fn loader(&self, limits: Limits) -> Loader<u32, String> {
        let store = self.clone();
        let service = tower::service_fn(move |keys: Vec<u32>| {
            let store = store.clone();
            async move {
                store.sent.lock().unwrap().push(keys.clone());
                let _ = store.gate.acquire().await;
                let find = |key| match key {
                    MISSING => Ok(None),
                    BROKEN => Err("no"),
                    PANICS => panic!("unlucky"),
                    _ => Ok(Some(value(key))),
                };
                Ok::<Vec<_>, BoxError>(keys.into_iter().map(find).collect())
            }
        });
        Loader::new(service, limits)
    }

    fn sent(&self) -> Vec<Vec<u32>> {
        self.sent.lock().unwrap().clone()
    }
}

fn value(key: u32) -> String {
    format!("value {key}")
}

/// Lets all tasks run until they wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}
