//! The peers' rows.

use std::{convert::Infallible, sync::Arc};

use cached::ShardedLruTtlCache;
use cachet::CacheEntry;
use foyer_memory::CacheBuilder;
use tick::Clock;
use tower::{Layer, ServiceExt, service_fn};
use tower_resilience_cache::CacheLayer;
use tower_service::Service;

use super::{HOUR, KEYS, ROOM, SMALL, crowd, fresh, load, text, texts, zipf};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Peer, Row},
    work::Driver,
};

pub(super) fn hits() -> Vec<Row> {
    let keys = 0..KEYS as u64;
    let (of_moka, of_cached, of_foyer, of_cachet) =
        (keys.clone(), keys.clone(), keys.clone(), keys.clone());
    vec![
        Row::service("tower-resilience", Peer, move || {
            let layer = CacheLayer::builder()
                .max_size(ROOM)
                .ttl(HOUR)
                .key_extractor(|request: &u64| *request);
            let layer = layer.build().expect("it has a key");
            let mut service = layer.layer(Backend::<0>);
            Driver::with(|driver| {
                for key in keys.clone() {
                    driver.run(service.call(key)).expect("no call fails");
                }
            });
            service.map_request(zipf as fn(u64) -> u64)
        }),
        Row::driven("moka, get", Peer, move || {
            let cache = moka(ROOM);
            Driver::with(|driver| {
                for key in of_moka.clone() {
                    driver.run(cache.insert(key, key));
                }
                driver.run(cache.run_pending_tasks());
            });
            move |request, driver: &mut Driver<'_>| {
                let value = driver.run(cache.get(&zipf(request)));
                value.ok_or(Failed(request))
            }
        }),
        Row::driven("cached, in shards", Peer, move || {
            let cache = ShardedLruTtlCache::new(ROOM, HOUR);
            for key in of_cached.clone() {
                cache.set(key, key);
            }
            move |request, _: &mut Driver<'_>| cache.get(&zipf(request)).ok_or(Failed(request))
        }),
        Row::driven("foyer", Peer, move || {
            let cache = foyer(ROOM);
            for key in of_foyer.clone() {
                cache.insert(key, key);
            }
            move |request, _: &mut Driver<'_>| {
                let entry = cache.get(&zipf(request));
                entry.map(|it| *it.value()).ok_or(Failed(request))
            }
        }),
        Row::driven("cachet", Peer, move || {
            let cache = cachet(ROOM);
            Driver::with(|driver| {
                for key in of_cachet.clone() {
                    let insert = cache.insert(key, CacheEntry::new(key));
                    driver.run(insert).expect("memory does not fail");
                }
            });
            move |request, driver: &mut Driver<'_>| {
                let found = driver.run(cache.get(&zipf(request)));
                let entry = found.expect("memory does not fail");
                entry.map(|it| *it.value()).ok_or(Failed(request))
            }
        }),
    ]
}

pub(super) fn hits_by_text() -> Vec<Row> {
    vec![
        Row::service("tower-resilience", Peer, || {
            let layer = CacheLayer::builder()
                .max_size(ROOM)
                .ttl(HOUR)
                .key_extractor(|request: &&'static str| (*request).to_owned());
            let layer = layer.build().expect("it has a key");
            let inner = service_fn(async |it: &'static str| Ok::<Arc<str>, Failed>(it.into()));
            let mut service = layer.layer(inner);
            Driver::with(|driver| {
                for request in 0..1 << 16 {
                    let call = service.call(text(request));
                    driver.run(call).expect("no call fails");
                }
            });
            service.map_request(text as fn(u64) -> &'static str)
        }),
        Row::driven("moka, get", Peer, || {
            let cache = moka::future::Cache::<String, Arc<str>>::builder()
                .max_capacity(ROOM as u64)
                .time_to_live(HOUR)
                .build();
            Driver::with(|driver| {
                for key in texts() {
                    let value = Arc::from(&*key);
                    driver.run(cache.insert(key, value));
                }
                driver.run(cache.run_pending_tasks());
            });
            move |request, driver: &mut Driver<'_>| {
                let value = driver.run(cache.get(text(request)));
                value.ok_or(Failed(request))
            }
        }),
        Row::driven("foyer", Peer, || {
            let cache: foyer_memory::Cache<String, Arc<str>> = CacheBuilder::new(ROOM).build();
            for key in texts() {
                let value = Arc::from(&*key);
                cache.insert(key, value);
            }
            move |request, _: &mut Driver<'_>| {
                let entry = cache.get(text(request));
                entry
                    .map(|it| Arc::clone(it.value()))
                    .ok_or(Failed(request))
            }
        }),
    ]
}

pub(super) fn misses() -> Vec<Row> {
    vec![
        Row::service("tower-resilience", Peer, || {
            let layer = CacheLayer::builder()
                .max_size(SMALL)
                .ttl(HOUR)
                .key_extractor(|_: &u64| fresh());
            layer.build().expect("it has a key").layer(Backend::<0>)
        }),
        Row::driven("moka, get with", Peer, || {
            let cache = moka(SMALL);
            move |_, driver: &mut Driver<'_>| {
                let key = fresh();
                let load = std::future::ready(Backend::<0>.answer(key));
                driver.run(cache.try_get_with(key, load)).map_err(|it| *it)
            }
        }),
    ]
}

pub(super) fn crowds() -> Vec<Row> {
    vec![
        Row::new("moka", Peer, || {
            let cache = moka(SMALL);
            crowd(move |key| {
                let cache = cache.clone();
                async move { cache.try_get_with(key, load(key)).await.map_err(|it| *it) }
            })
        }),
        Row::new("foyer", Peer, || {
            let cache = foyer(SMALL);
            crowd(move |key| {
                let fetch = cache.get_or_fetch(&key, move || async move {
                    Ok::<_, Infallible>(load(key).await.expect("no load fails"))
                });
                async move { fetch.await.map(|it| *it.value()).map_err(|_| Failed(key)) }
            })
        }),
        Row::new("tower-resilience", Peer, || {
            let layer = CacheLayer::builder()
                .max_size(SMALL)
                .ttl(HOUR)
                .key_extractor(|request: &u64| *request);
            let layer = layer.build().expect("it has a key");
            let service = layer.layer(service_fn(load));
            crowd(move |key| {
                let mut service = service.clone();
                let call = service.call(key);
                async move { call.await.map_err(|_| Failed(key)) }
            })
        }),
    ]
}

fn moka(room: usize) -> moka::future::Cache<u64, u64> {
    let builder = moka::future::Cache::builder().max_capacity(room as u64);
    builder.time_to_live(HOUR).build()
}

fn foyer(room: usize) -> foyer_memory::Cache<u64, u64> {
    CacheBuilder::new(room).build()
}

fn cachet(room: usize) -> Arc<cachet::Cache<u64, u64>> {
    let builder = cachet::Cache::builder(Clock::new_tokio());
    let builder = builder.memory_with(|it| it.max_capacity(room as u64));
    Arc::new(builder.ttl(HOUR).build())
}
