//! An invalidation wins over the loads that are under way.

use std::num::NonZeroU64;

use mainstay_ttl_cache::{Keep, TtlCache};
use tokio_test::assert_pending;

use crate::*;

type Invalidate = fn(&Cache);

const ALL: [(&str, Invalidate); 3] = [
    ("key", |it| _ = it.invalidate(&1)),
    ("all", Cache::invalidate_all),
    ("predicate", |it| _ = it.invalidate_if(|_, _| true)),
];

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_the_value_and_it_is_not_stored() {
    for (what, invalidate) in ALL {
        let (cache, loads) = (cache(), Loads::default());
        let mut calls =
            [(); 2].map(|()| task::spawn(cache.get_or_load(&1, loads.take(seconds(1)))));
        calls.iter_mut().for_each(|it| assert_pending!(it.poll()));
        invalidate(&cache);
        // Who comes later begins another load, which is stored.
        let later = tokio::spawn(cache.get_or_load(&1, loads.take(seconds(5))));
        tokio::time::sleep(seconds(2)).await;
        for call in &mut calls {
            assert_eq!(assert_ready!(call.poll()).unwrap(), "1", "{what}");
        }
        assert_eq!(cache.get(&1), None, "{what}");
        assert_eq!(later.await.unwrap().unwrap(), "2", "{what}");
        assert_eq!(cache.get(&1).as_deref(), Some("2"), "{what}");
        loads.assert(2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_loads_when_nothing_was_stored() {
    for (what, invalidate) in ALL {
        let (cache, loads) = (cache(), Loads::default());
        let call = tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
        tokio::task::yield_now().await;
        invalidate(&cache);
        assert_eq!(call.await.unwrap().unwrap(), "1");
        assert_eq!(cache.snapshot().entries, 0, "{what}");
        assert_eq!(
            cache.get_or_load(&1, loads.take(seconds(1))).await.unwrap(),
            "2"
        );
    }
}

/// An empty key is a key as any other.
#[tokio::test(start_paused = true)]
async fn the_empty_key_is_one_key() {
    let cache = TtlCache::<String, u64>::new(limits(10), ttl(10));
    cache.insert(String::new(), 1);
    cache.insert("a".into(), 2);
    assert!(cache.invalidate(""));
    assert!(!cache.invalidate(""));
    assert_eq!((cache.get(""), cache.get("a")), (None, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn all_are_gone_at_once_and_their_memory_too() {
    let cache = TtlCache::<u64, u64>::new(limits(10_000), ttl(10));
    for key in 0..5_000 {
        cache.insert(key, key);
    }
    let entries = cache.snapshot().entries;
    assert!(entries > 4_000);
    cache.invalidate_all();
    assert!((0..5_000).all(|it| cache.get(&it).is_none()));
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.entries, snapshot.weight), (0, 0));
    assert_eq!(snapshot.invalidated as usize, entries);
    cache.insert(1, 2);
    assert_eq!(cache.get(&1), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_predicate_removes_what_it_says() {
    let cache = TtlCache::<u64, u64>::new(limits(1_000), ttl(10));
    for key in 0..100 {
        cache.insert(key, 2 * key);
    }
    assert_eq!(cache.invalidate_if(|key, value| key + value >= 150), 50);
    assert_eq!((0..100).filter(|it| cache.get(it).is_some()).count(), 50);
    assert_eq!(cache.get(&49), Some(98));
    assert_eq!(cache.snapshot().invalidated, 50);
}

#[tokio::test(start_paused = true)]
async fn a_tag_invalidates_all_that_have_it_and_nothing_else() {
    let cache = TtlCache::<u64, u64>::new(limits(1_000), ttl(10));
    for key in 0..100 {
        let keep = Keep::from(ttl(10)).with_tag(format!("user {}", key % 10));
        let keep = if key % 2 == 0 {
            keep.with_tag("even")
        } else {
            keep
        };
        cache.insert_with(key, key, keep);
    }
    cache.insert(1_000, 1);
    cache.invalidate_tag("user 3");
    cache.invalidate_tag("even");
    cache.invalidate_tag("nobody");
    let left = (0..100).filter(|it| cache.get(it).is_some());
    assert!(left.eq((0..100).filter(|it| it % 2 == 1 && it % 10 != 3)));
    assert_eq!(cache.get(&1_000), Some(1));
    // What comes later is valid.
    cache.insert_with(0, 7, Keep::from(ttl(10)).with_tag("even"));
    assert_eq!(cache.get(&0), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_turns_out_to_have_the_tag_is_not_stored_and_another_is() {
    let keep = |it: &String| Some(Keep::from(ttl(10)).with_tag(if it == "1" { "a" } else { "b" }));
    let (cache, loads) = (
        TtlCache::<u64, String, _>::new(limits(10), keep),
        Loads::default(),
    );
    for (key, is_stored) in [(1, false), (2, true)] {
        let call = tokio::spawn(cache.get_or_load(&key, loads.take(seconds(1))));
        tokio::task::yield_now().await;
        cache.invalidate_tag("a");
        assert_eq!(call.await.unwrap().unwrap(), key.to_string());
        assert_eq!(cache.get(&key).is_some(), is_stored);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_tag_was_invalidated_does_not_get_what_was_loaded_before() {
    let keep = |_: &String| Some(Keep::from(ttl(10)).with_tag("a"));
    let (cache, loads) = (
        TtlCache::<u64, String, _>::new(limits(10), keep),
        Loads::default(),
    );
    let before = tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
    tokio::task::yield_now().await;
    cache.invalidate_tag("a");
    let after = tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
    assert_eq!(before.await.unwrap().unwrap(), "1");
    assert_eq!(after.await.unwrap().unwrap(), "2");
    assert_eq!(cache.get(&1).as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_in_during_a_load_stays() {
    let (cache, loads) = (cache(), Loads::default());
    let call = tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
    tokio::task::yield_now().await;
    cache.insert(1, "put in".into());
    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert_eq!(cache.get(&1).as_deref(), Some("put in"));
}

/// What the retention does not want takes the place of nothing, but what was there is old.
#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_kept_is_not_and_removes_what_was_there() {
    let keep = |it: &u64| (*it != 0).then(|| Keep::from(ttl(10)));
    let cache = TtlCache::<u64, u64, _>::new(limits(10), keep);
    let load = || async { Ok::<_, Infallible>(0) };
    assert_eq!(cache.get_or_load(&1, load).await.unwrap(), 0);
    assert_eq!(cache.snapshot().entries, 0);
    cache.insert(1, 5);
    cache.insert(1, 0);
    assert_eq!(cache.get(&1), None);
    let heavy = Keep::from(ttl(10)).with_weight(NonZeroU64::MAX);
    cache.insert_with(1, 5, heavy);
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.snapshot().rejected, 1);
}

/// However often other tags are invalidated meanwhile, there is one load, and it is stored.
#[tokio::test(start_paused = true)]
async fn tags_that_a_load_does_not_have_begin_no_other() {
    let keep = |_: &String| Some(Keep::from(ttl(10)).with_tag("a"));
    let (cache, loads) = (
        TtlCache::<u64, String, _>::new(limits(10), keep),
        Loads::default(),
    );
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(tokio::spawn(cache.get_or_load(&1, loads.take(seconds(1)))));
        tokio::time::sleep(millis(5)).await;
        cache.invalidate_tag("b");
    }
    // Whoever began it is gone.
    calls.remove(0).abort();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    assert_eq!(cache.get(&1).as_deref(), Some("1"));
    loads.assert(1);
}

/// They fail with it, and its cause is not wrapped once more for each of them.
#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_load_that_fails_fails_with_it() {
    let (cache, loads) = (cache(), Loads::default());
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(tokio::spawn(cache.get_or_load(&1, loads.fail(seconds(1)))));
        tokio::task::yield_now().await;
        cache.invalidate_tag("a");
    }
    for call in calls {
        let failed = call.await.unwrap().unwrap_err();
        assert_eq!(failed.cause().to_string(), "refused 1");
    }
    loads.assert(1);
}
