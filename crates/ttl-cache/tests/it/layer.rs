//! The cache as a layer.

use std::{borrow::Cow, convert::Infallible};

use mainstay_ttl_cache::{BoxError, Cache, CacheLayer, LoadFailed, TtlCache};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_test::{assert_request_eq, mock};

use crate::*;

type Answers = TtlCache<String, String>;

fn answers() -> Answers {
    TtlCache::new(limits(1_000), ttl(10))
}

#[expect(clippy::ptr_arg, reason = "it is the request")]
fn key(request: &String) -> Option<Cow<'_, str>> {
    (!request.is_empty()).then_some(Cow::Borrowed(request.as_str()))
}

/// Nothing is asked of an inner service that is not ready, as behind an open circuit or an empty pool.
#[tokio::test(start_paused = true)]
async fn a_hit_never_touches_the_inner_service() {
    let (inner, mut handle) = mock::pair::<String, String>();
    let cache = answers();
    let mut service = mock::Spawn::new(CacheLayer::new(cache.clone(), key).layer(inner));
    handle.allow(0);
    cache.insert("a".into(), "1".into());
    assert_ready_ok!(service.poll_ready());
    let mut hit = task::spawn(service.call("a".into()));
    assert_eq!(assert_ready_ok!(hit.poll()), "1");
    // A miss waits for the service, and the service that is called was ready.
    assert_ready_ok!(service.poll_ready());
    let mut miss = task::spawn(service.call("b".into()));
    assert_pending!(miss.poll());
    handle.allow(1);
    assert!(miss.is_woken());
    assert_pending!(miss.poll());
    assert_request_eq!(handle, "b").send_response("2".to_owned());
    assert_eq!(assert_ready_ok!(miss.poll()), "2");
    assert_eq!(cache.get("b").as_deref(), Some("2"));
}

/// A waiter takes no readiness and no permit: all share one load through a limit of one.
#[tokio::test(start_paused = true)]
async fn waiters_take_no_permit() {
    let loads = Loads::default();
    let counted = loads.clone();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(answers(), key))
        .concurrency_limit(1)
        .service_fn(move |_: String| counted.take(millis(20))());
    let start = tokio::time::Instant::now();
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(service.clone().oneshot("a".to_owned())))
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    assert_eq!(start.elapsed().as_millis(), 20);
    loads.assert(1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_bypasses_the_cache() {
    let loads = Loads::default();
    let counted = loads.clone();
    let cache = answers();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(cache.clone(), key))
        .service_fn(move |_: String| counted.take(millis(1))());
    for expected in ["1", "2"] {
        assert_eq!(
            service.clone().oneshot(String::new()).await.unwrap(),
            expected
        );
    }
    assert_eq!(cache.snapshot(), answers().snapshot());
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_as_load_failed_and_that_of_a_bypass_unchanged() {
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(answers(), key))
        .service_fn(async |_: String| Err::<String, _>(std::io::Error::other("gone")));
    let error = service.clone().oneshot("a".to_owned()).await.unwrap_err();
    let failed = error.downcast_ref::<LoadFailed>().unwrap();
    assert!(failed.cause().is::<std::io::Error>());
    let error = service.oneshot(String::new()).await.unwrap_err();
    assert!(error.is::<std::io::Error>());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_broken_fails_the_load() {
    let (inner, mut handle) = mock::pair::<String, String>();
    let mut service = mock::Spawn::new(CacheLayer::new(answers(), key).layer(inner));
    handle.send_error("gone for good");
    assert_ready_ok!(service.poll_ready());
    let error = service.call("a".into()).await.unwrap_err();
    assert_eq!(
        error.downcast::<LoadFailed>().unwrap().cause().to_string(),
        "gone for good"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_can_be_made() {
    let cache = TtlCache::<u64, u64>::new(limits(10), ttl(10));
    let layer = CacheLayer::new(cache.clone(), |it: &(u64, u64)| Some(Cow::Owned(it.0)));
    let service = layer.layer(tower::service_fn(async |(_, value)| {
        Ok::<_, BoxError>(value)
    }));
    assert_eq!(service.clone().oneshot((1, 10)).await.unwrap(), 10);
    assert_eq!(service.clone().oneshot((1, 20)).await.unwrap(), 10);
    assert!(cache.invalidate(&1));
    assert_eq!(service.oneshot((1, 20)).await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_refreshed_behind_the_back_of_its_caller() {
    let loads = Loads::default();
    let counted = loads.clone();
    let ttl = ttl(10).with_stale_while_revalidate(seconds(10));
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(TtlCache::new(limits(10), ttl), key))
        .service_fn(move |_: String| counted.take(millis(1))());
    let call = || service.clone().oneshot("a".to_owned());
    assert_eq!(call().await.unwrap(), "1");
    wait(seconds(11)).await;
    assert_eq!(call().await.unwrap(), "1");
    tokio::time::sleep(millis(2)).await;
    assert_eq!(call().await.unwrap(), "2");
    loads.assert(2);
}

#[test]
fn is_send_and_sync() {
    fn both<T: Send + Sync>() {}
    type Layered = CacheLayer<
        String,
        String,
        mainstay_ttl_cache::Ttl,
        fn(&String) -> Option<Cow<'_, str>>,
        str,
    >;
    both::<Answers>();
    both::<Layered>();
    both::<mainstay_ttl_cache::future::Lookup<String>>();
    both::<LoadFailed>();
    both::<mainstay_ttl_cache::Snapshot>();
}

/// Ready, whatever the inner service is.
#[tokio::test(start_paused = true)]
async fn forwards_readiness() {
    let (inner, mut handle) = mock::pair::<String, String>();
    handle.allow(0);
    let mut service = mock::Spawn::new(CacheLayer::new(answers(), key).layer(inner));
    assert_ready_ok!(service.poll_ready());
    handle.send_error("gone");
    assert_ready_ok!(service.poll_ready());
}

/// A mock panics if it is called before it was polled to readiness.
#[tokio::test(start_paused = true)]
async fn calls_only_what_it_readied() {
    let (inner, mut handle) = mock::pair::<String, String>();
    handle.allow(100);
    let mut service = mock::Spawn::new(CacheLayer::new(answers(), key).layer(inner));
    let mut calls = Vec::new();
    for request in ["a", "b", "", ""] {
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(request.into()));
        assert_pending!(call.poll());
        calls.push(call);
    }
    for request in ["a", "b", "", ""] {
        assert_request_eq!(handle, request).send_response(String::new());
    }
    for mut call in calls {
        assert_ready_ok!(call.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    for polls in 0..3 {
        let (inner, mut handle) = mock::pair::<String, String>();
        handle.allow(polls);
        let cache = answers();
        let mut service = mock::Spawn::new(CacheLayer::new(cache.clone(), key).layer(inner));
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call("a".into()));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        drop(call);
        let snapshot = cache.snapshot();
        assert_eq!(
            (snapshot.loading, snapshot.abandoned, snapshot.entries),
            (0, 1, 0)
        );
        // The next call begins anew.
        handle.allow(1);
        let mut call = task::spawn(service.call("a".into()));
        assert_pending!(call.poll());
        if polls > 0 {
            let (_, _dropped) = handle.next_request().await.unwrap();
        }
        assert_request_eq!(handle, "a").send_response("1".to_owned());
        assert_eq!(assert_ready_ok!(call.poll()), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn stacks_upon_itself_and_upon_other_layers() {
    let inner = ServiceBuilder::new()
        .layer(CacheLayer::new(answers(), key))
        .timeout(seconds(1))
        .service_fn(async |it: String| Ok::<_, Infallible>(it + "!"));
    let service = ServiceBuilder::new()
        .boxed_clone()
        .load_shed()
        .concurrency_limit(10)
        .layer(CacheLayer::new(answers(), key))
        .service(inner);
    assert_eq!(service.oneshot("a".to_owned()).await.unwrap(), "a!");
}

/// Of one layer they share the cache, and a clone is as good as the first.
#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_the_cache() {
    let layer = CacheLayer::new(answers(), key);
    let one = layer.layer(tower::service_fn(async |it: String| {
        Ok::<_, Infallible>(it + "1")
    }));
    let two: Cache<_, _, _, _, _, str> =
        layer.clone().layer(tower::service_fn(async |it: String| {
            Ok::<_, Infallible>(it + "2")
        }));
    assert_eq!(one.oneshot("a".to_owned()).await.unwrap(), "a1");
    assert_eq!(two.clone().oneshot("a".to_owned()).await.unwrap(), "a1");
}
