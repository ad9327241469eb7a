//! What hits and misses allocate.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use mainstay_ttl_cache::{CacheLayer, Keep, Limits, Ttl, TtlCache, future::ResponseFuture};
use tower::{Layer, Service, service_fn};

#[test]
fn a_hit_allocates_nothing() {
    let cache = TtlCache::<u64, u64>::new(limits(100), ttl());
    let mut service = CacheLayer::new(cache.clone(), number).layer(service_fn(double));
    for key in 0..10 {
        assert_eq!(call(&mut service, key), 2 * key);
    }
    let allocated = measure(|| {
        for _ in 0..100 {
            for key in 0..10 {
                assert_eq!(call(&mut service, key), 2 * key);
                assert_eq!(cache.get(&key), Some(2 * key));
            }
        }
    });
    assert_eq!(allocated.count_total, 0);
}

/// Its key is borrowed, and tags cost no reference counts.
#[test]
fn a_hit_by_text_allocates_nothing() {
    let keep = |_: &Arc<str>| Some(Keep::from(ttl()).with_tag("tag"));
    let cache = TtlCache::<String, Arc<str>, _>::new(limits(100), keep);
    let inner = service_fn(|it: &'static str| ready(Ok::<Arc<str>, Infallible>(it.into())));
    let mut service =
        CacheLayer::new(cache, |it: &&'static str| Some(Cow::Borrowed(*it))).layer(inner);
    let texts = ["a", "b", "c"];
    for text in texts {
        assert_eq!(&*call(&mut service, text), text);
    }
    let allocated = measure(|| {
        for _ in 0..100 {
            for text in texts {
                assert_eq!(&*call(&mut service, text), text);
            }
        }
    });
    assert_eq!(allocated.count_total, 0);
}

/// The flight and the load in it; and now and then the calendar's growth.
#[test]
fn a_miss_allocates_its_flight_and_nothing_else() {
    let cache = TtlCache::<u64, u64>::new(limits(1_000), ttl());
    let mut service = CacheLayer::new(cache, number).layer(service_fn(double));
    let mut misses = |keys: std::ops::Range<u64>| {
        measure(|| {
            for key in keys.clone() {
                assert_eq!(call(&mut service, key), 2 * key);
            }
        })
    };
    misses(0..100_000);
    let AllocationInfo {
        count_total,
        bytes_current,
        ..
    } = misses(100_000..200_000);
    let each = count_total as f64 / 100_000.0;
    assert!((2.0..2.02).contains(&each), "{each}");
    assert!(bytes_current < 50_000, "{bytes_current}");
}

/// Of what goes for want of room, the calendar forgets the most.
#[test]
fn entries_that_had_to_go_leave_nothing_behind() {
    let cache = TtlCache::<u64, u64>::new(limits(100), ttl());
    let mut held = 0;
    for round in 0..3 {
        let allocated = measure(|| {
            for key in 0..100_000 {
                cache.insert(round * 100_000 + key, key);
            }
        });
        held += allocated.bytes_current;
    }
    assert!(held < 100_000, "{held}");
}

#[test]
fn calls_that_were_given_up_leave_nothing_behind() {
    let cache = TtlCache::<u64, u64>::new(limits(100), ttl());
    let give_up = |keys: std::ops::Range<u64>| {
        measure(|| {
            for key in keys.clone() {
                let pend = std::future::pending::<Result<u64, Infallible>>;
                let mut call = pin!(cache.get_or_load(&key, pend));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(call.as_mut().poll(&mut cx).is_pending());
            }
        })
    };
    give_up(0..1_000);
    assert_eq!(give_up(1_000..10_000).bytes_current, 0);
}

#[test]
fn a_response_is_small() {
    type Double = tower::util::ServiceFn<fn(u64) -> Ready<Result<u64, Infallible>>>;
    let size = size_of::<ResponseFuture<Double, u64>>();
    assert!(size <= 32, "{size}");
}

fn number(request: &u64) -> Option<Cow<'_, u64>> {
    Some(Cow::Owned(*request))
}

fn double(request: u64) -> Ready<Result<u64, Infallible>> {
    ready(Ok(2 * request))
}

fn call<S, R>(service: &mut S, request: R) -> S::Response
where
    S: Service<R, Future: Unpin, Error: std::fmt::Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match Pin::new(&mut service.call(request)).poll(&mut cx) {
        Poll::Ready(answer) => answer.expect("it does not fail"),
        Poll::Pending => panic!("it loads at once"),
    }
}

fn limits(entries: usize) -> Limits {
    Limits::new(entries).unwrap()
}

fn ttl() -> Ttl {
    Ttl::new(Duration::from_secs(3_600)).unwrap()
}
