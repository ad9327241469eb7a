//! What is given when it is fresh no more.

use mainstay_ttl_cache::{Keep, KeepErrors, RefreshTimedOut, TtlCache};

use crate::*;

/// Fresh for ten seconds, then given for ten more while it is refreshed.
fn revalidating() -> Cache {
    let ttl = ttl(10).with_stale_while_revalidate(seconds(10));
    TtlCache::new(limits(100), ttl)
}

#[tokio::test(start_paused = true)]
async fn while_it_is_revalidated_all_get_the_old_value_at_once_and_one_refresh_runs() {
    let (cache, loads) = (revalidating(), Loads::default());
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    for _ in 0..100 {
        let mut call = task::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
        assert_eq!(assert_ready!(call.poll()).unwrap(), "old");
    }
    // Only a fresh value is got without a load.
    assert_eq!(cache.get(&1), None);
    tokio::time::sleep(seconds(1) + millis(1)).await;
    loads.assert(1);
    assert_eq!(cache.get(&1).as_deref(), Some("1"));
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.stale_hits, snapshot.replaced), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn after_its_windows_callers_wait_for_a_load_that_is_under_way_already() {
    let (cache, loads) = (revalidating(), Loads::default());
    cache.insert(1, "old".into());
    wait(seconds(19)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(5))).await.unwrap(),
        "old"
    );
    wait(seconds(1)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(5))).await.unwrap(),
        "1"
    );
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_keeps_the_old_value_and_the_next_waits() {
    let (cache, loads) = (revalidating(), Loads::default());
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    let call = async || {
        let value = cache.get_or_load(&1, loads.fail(millis(1))).await.unwrap();
        tokio::time::sleep(millis(2)).await;
        value
    };
    for _ in 0..10 {
        assert_eq!(call().await, "old");
    }
    loads.assert(1);
    tokio::time::sleep(seconds(1)).await;
    for _ in 0..10 {
        assert_eq!(call().await, "old");
    }
    loads.assert(2);
    // The windows stay where they were.
    tokio::time::sleep(seconds(9)).await;
    let failed = cache.get_or_load(&1, loads.fail(millis(1))).await;
    assert_eq!(failed.unwrap_err().cause().to_string(), "refused 3");
}

/// A load that hangs holds its key no longer than this.
#[tokio::test(start_paused = true)]
async fn a_refresh_is_bounded_in_time() {
    let limits = limits(10).with_refresh_timeout(seconds(2)).unwrap();
    let ttl = ttl(10).with_stale_while_revalidate(seconds(100));
    let cache = TtlCache::<u64, String>::new(limits, ttl);
    let hang = || std::future::pending::<Result<String, Infallible>>();
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    assert_eq!(cache.get_or_load(&1, hang).await.unwrap(), "old");
    assert_eq!(cache.snapshot().loading, 1);
    tokio::time::sleep(seconds(2) + millis(1)).await;
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.loading, snapshot.failed), (0, 1));
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(cache.get_or_load(&1, hang).await.unwrap(), "old");
    assert_eq!(cache.snapshot().loading, 1);
    // Those who join it when the value may not be given any more are told.
    let limits = Limits::new(10)
        .unwrap()
        .with_refresh_timeout(seconds(2))
        .unwrap();
    let cache = TtlCache::<u64, String>::new(
        limits,
        crate::ttl(10).with_stale_while_revalidate(seconds(1)),
    );
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    drop(cache.get_or_load(&1, hang));
    wait(seconds(1)).await;
    let failed = cache.get_or_load(&1, hang).await.unwrap_err();
    let timed_out = failed.cause().downcast_ref::<RefreshTimedOut>().unwrap();
    assert_eq!(timed_out.after(), seconds(2));
}

#[tokio::test(start_paused = true)]
async fn an_old_value_stands_in_for_an_error_in_its_window_only() {
    let ttl = ttl(10).with_stale_if_error(seconds(10));
    let cache = TtlCache::<u64, String>::new(limits(10), ttl);
    let loads = Loads::default();
    cache.insert(1, "old".into());
    wait(seconds(15)).await;
    // It is not given before the load has failed, and then to all who waited.
    let calls = [(); 3].map(|()| tokio::spawn(cache.get_or_load(&1, loads.fail(millis(100)))));
    let start = tokio::time::Instant::now();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "old");
    }
    assert_eq!(start.elapsed(), millis(100));
    loads.assert(1);
    // While the next try waits it is given at once.
    let mut call = task::spawn(cache.get_or_load(&1, loads.fail(millis(1))));
    assert_eq!(assert_ready!(call.poll()).unwrap(), "old");
    wait(seconds(1)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.fail(millis(1))).await.unwrap(),
        "old"
    );
    loads.assert(2);
    wait(seconds(4)).await;
    let failed = cache.get_or_load(&1, loads.fail(millis(1))).await;
    assert_eq!(failed.unwrap_err().cause().to_string(), "refused 3");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_value_that_was_invalidated_meanwhile_is_not_stored() {
    let (cache, loads) = (revalidating(), Loads::default());
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(1))).await.unwrap(),
        "old"
    );
    assert!(cache.invalidate(&1));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(cache.get(&1), None);
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_value_that_was_replaced_meanwhile_is_not_stored() {
    let (cache, loads) = (revalidating(), Loads::default());
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(1))).await.unwrap(),
        "old"
    );
    cache.insert(1, "new".into());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(cache.get(&1).as_deref(), Some("new"));
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_begins_before_the_end_and_nobody_waits_for_it() {
    let ttl = ttl(10).with_early_refresh(1.0).unwrap();
    let cache = TtlCache::<u64, String>::new(limits(10), ttl);
    let loads = Loads::default();
    assert_eq!(
        cache.get_or_load(&1, loads.take(seconds(1))).await.unwrap(),
        "1"
    );
    // A tenth of a second before the end nine of ten calls would begin it.
    wait(seconds(10) - millis(100)).await;
    for _ in 0..100 {
        let mut call = task::spawn(cache.get_or_load(&1, loads.take(seconds(1))));
        assert_eq!(assert_ready!(call.poll()).unwrap(), "1");
    }
    tokio::time::sleep(seconds(1) + millis(1)).await;
    loads.assert(2);
    assert_eq!(cache.get(&1).as_deref(), Some("2"));
    assert_eq!(cache.snapshot().stale_hits, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_are_kept_if_asked_for_and_for_their_time() {
    let keep = KeepErrors::new(ttl(10), |error: &mainstay_ttl_cache::BoxError| {
        error
            .to_string()
            .starts_with("refused")
            .then_some(seconds(2))
    });
    let cache = TtlCache::<u64, String, _>::new(limits(10), keep);
    let loads = Loads::default();
    for _ in 0..3 {
        let failed = cache
            .get_or_load(&1, loads.fail(millis(1)))
            .await
            .unwrap_err();
        assert_eq!(failed.cause().to_string(), "refused 1");
    }
    assert_eq!(cache.get(&1), None);
    wait(seconds(2)).await;
    assert_eq!(
        cache.get_or_load(&1, loads.take(millis(1))).await.unwrap(),
        "2"
    );
    // Invalidated as any other.
    let failed = cache
        .get_or_load(&2, loads.fail(millis(1)))
        .await
        .unwrap_err();
    assert_eq!(failed.cause().to_string(), "refused 3");
    assert!(cache.invalidate(&2));
    assert_eq!(
        cache.get_or_load(&2, loads.take(millis(1))).await.unwrap(),
        "4"
    );
    let other = || async { Err::<String, _>("other") };
    for _ in 0..2 {
        drop(cache.get_or_load(&3, other).await.unwrap_err());
    }
    assert_eq!(cache.snapshot().failed, 4);
}

/// Without a runtime there is no background: the caller loads.
#[test]
fn outside_a_runtime_a_stale_value_is_loaded_by_its_caller() {
    let ttl = Ttl::new(Duration::from_nanos(1)).unwrap();
    let ttl = ttl.with_stale_while_revalidate(seconds(1_000));
    let cache = TtlCache::<u64, String>::new(limits(10), ttl);
    cache.insert(1, "old".into());
    let load = || async { Ok::<_, Infallible>("new".to_owned()) };
    let mut call = task::spawn(cache.get_or_load(&1, load));
    assert_eq!(assert_ready!(call.poll()).unwrap(), "new");
}

/// The user's own code fails it, after the load.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_value_cannot_be_kept_for_a_panic_keeps_the_old_one_and_the_next_waits() {
    let keep = |it: &String| {
        assert_eq!(it, "old", "as it was told");
        let ttl = ttl(10).with_stale_while_revalidate(seconds(10));
        Some(Keep::from(ttl))
    };
    let cache = TtlCache::<u64, String, _>::new(limits(10), keep);
    let loads = Loads::default();
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    for _ in 0..10 {
        let value = cache.get_or_load(&1, loads.take(millis(1))).await.unwrap();
        assert_eq!(value, "old");
        tokio::time::sleep(millis(2)).await;
    }
    loads.assert(1);
    tokio::time::sleep(seconds(1)).await;
    let value = cache.get_or_load(&1, loads.take(millis(1))).await.unwrap();
    assert_eq!(value, "old");
    tokio::time::sleep(millis(2)).await;
    loads.assert(2);
}

/// It is newer, and not for everybody.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_value_is_not_to_be_kept_removes_the_old_one() {
    let keep = |it: &String| {
        let ttl = ttl(10).with_stale_while_revalidate(seconds(10));
        (it == "old").then(|| Keep::from(ttl))
    };
    let cache = TtlCache::<u64, String, _>::new(limits(10), keep);
    let loads = Loads::default();
    cache.insert(1, "old".into());
    wait(seconds(10)).await;
    let load = async || cache.get_or_load(&1, loads.take(millis(1))).await.unwrap();
    assert_eq!(load().await, "old");
    tokio::time::sleep(millis(2)).await;
    assert_eq!(cache.snapshot().entries, 0);
    assert_eq!(load().await, "2");
    assert_eq!(cache.snapshot().entries, 0);
}
