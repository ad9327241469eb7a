//! Our own rows.

use std::{borrow::Cow, sync::Arc, time::Duration};

use mainstay_ttl_cache::{CacheLayer, Limits, Ttl, TtlCache};
use tower::{Layer, ServiceExt, service_fn};

use super::{HOUR, KEYS, ROOM, SMALL, crowd, fresh, load, text, texts, zipf};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Ours, Row},
    work::Driver,
};

/// How often the time is written down where it is kept.
const EVERY: Duration = Duration::from_millis(10);

pub(super) fn hits() -> Vec<Row> {
    vec![
        Row::service("mainstay, layer", Ours, move || {
            CacheLayer::new(numbers(), key).layer(Backend::<0>)
        }),
        Row::service("mainstay, layer, time kept", Ours, move || {
            let cache = numbers();
            tokio::spawn(cache.keep_time(EVERY));
            CacheLayer::new(cache, key).layer(Backend::<0>)
        }),
        Row::driven("mainstay, get", Ours, || {
            let cache = numbers();
            move |request, _: &mut Driver<'_>| cache.get(&zipf(request)).ok_or(Failed(request))
        }),
        Row::function("mainstay, get or load", Ours, || {
            let cache = numbers();
            move |request| {
                let key = zipf(request);
                cache.get_or_load(&key, move || load(key))
            }
        }),
    ]
}

pub(super) fn hits_by_text() -> Vec<Row> {
    let filled = || {
        let cache = TtlCache::<String, Arc<str>>::new(limits(ROOM), ttl());
        for key in texts() {
            let value = Arc::from(&*key);
            cache.insert(key, value);
        }
        cache
    };
    let layered = move |cache| {
        let inner = service_fn(async |it: &'static str| Ok::<Arc<str>, Failed>(it.into()));
        CacheLayer::new(cache, |it: &&'static str| Some(Cow::Borrowed(*it)))
            .layer(inner)
            .map_request(text as fn(u64) -> &'static str)
    };
    vec![
        Row::service("mainstay, layer", Ours, move || layered(filled())),
        Row::service("mainstay, layer, time kept", Ours, move || {
            let cache = filled();
            tokio::spawn(cache.keep_time(EVERY));
            layered(cache)
        }),
    ]
}

pub(super) fn misses() -> Vec<Row> {
    vec![
        Row::service("mainstay, layer", Ours, || {
            let cache = TtlCache::<u64, u64>::new(limits(SMALL), ttl());
            CacheLayer::new(cache, |_: &u64| Some(Cow::Owned(fresh()))).layer(Backend::<0>)
        }),
        Row::function("mainstay, get or load", Ours, || {
            let cache = TtlCache::<u64, u64>::new(limits(SMALL), ttl());
            move |_| {
                let key = fresh();
                cache.get_or_load(&key, move || std::future::ready(Backend::<0>.answer(key)))
            }
        }),
    ]
}

pub(super) fn crowds() -> Vec<Row> {
    vec![Row::new("mainstay", Ours, || {
        let cache = TtlCache::<u64, u64>::new(limits(SMALL), ttl());
        crowd(move |key| {
            let value = cache.get_or_load(&key, move || load(key));
            async move { value.await.map_err(|_| Failed(key)) }
        })
    })]
}

#[inline]
fn key(request: &u64) -> Option<Cow<'_, u64>> {
    Some(Cow::Owned(zipf(*request)))
}

fn numbers() -> TtlCache<u64, u64> {
    let cache = TtlCache::new(limits(ROOM), ttl());
    for key in 0..KEYS as u64 {
        cache.insert(key, key);
    }
    cache
}

fn limits(entries: usize) -> Limits {
    Limits::new(entries).expect("some")
}

fn ttl() -> Ttl {
    Ttl::new(HOUR).expect("an hour")
}
