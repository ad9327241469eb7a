//! The floors: quick_cache, which is our store, without times to live and what belongs to them.

use std::{hint::black_box, sync::Arc, time::Instant};

use quick_cache::sync::Cache;

use super::{HOUR, KEYS, ROOM, SMALL, crowd, fresh, load, text, texts, zipf};
use crate::{
    backend::{Backend, Failed},
    group::{
        Role::{Floor, Limit},
        Row,
    },
    work::Driver,
};

pub(super) fn hits() -> Vec<Row> {
    vec![
        Row::driven("quick_cache and a clock", Floor, || {
            let (cache, until) = (numbers(), Instant::now() + HOUR);
            move |request, _: &mut Driver<'_>| {
                let value = cache.get(&zipf(request));
                value
                    .filter(|_| Instant::now() < until)
                    .ok_or(Failed(request))
            }
        }),
        Row::driven("quick_cache alone", Limit, || {
            let cache = numbers();
            move |request, _: &mut Driver<'_>| cache.get(&zipf(request)).ok_or(Failed(request))
        }),
    ]
}

pub(super) fn hits_by_text() -> Vec<Row> {
    let filled = || {
        let cache = Cache::<String, Arc<str>>::new(ROOM);
        for key in texts() {
            let value = Arc::from(&*key);
            cache.insert(key, value);
        }
        Arc::new(cache)
    };
    vec![
        Row::driven("quick_cache and a clock", Floor, move || {
            let (cache, until) = (filled(), Instant::now() + HOUR);
            move |request, _: &mut Driver<'_>| {
                let value = cache.get(text(request));
                value
                    .filter(|_| Instant::now() < until)
                    .ok_or(Failed(request))
            }
        }),
        Row::driven("quick_cache alone", Limit, move || {
            let cache = filled();
            move |request, _: &mut Driver<'_>| cache.get(text(request)).ok_or(Failed(request))
        }),
    ]
}

pub(super) fn misses() -> Vec<Row> {
    vec![Row::driven("quick_cache, get and insert", Floor, || {
        let cache = Arc::new(Cache::<u64, u64>::new(SMALL));
        move |_, _: &mut Driver<'_>| -> Result<u64, Failed> {
            let key = fresh();
            if let Some(value) = cache.get(&key) {
                return Ok(value);
            }
            let value = Backend::<0>.answer(key)?;
            cache.insert(key, black_box(value));
            Ok(value)
        }
    })]
}

pub(super) fn crowds() -> Vec<Row> {
    vec![Row::new("quick_cache", Floor, || {
        let cache = Arc::new(Cache::<u64, u64>::new(SMALL));
        crowd(move |key| {
            let cache = Arc::clone(&cache);
            async move { cache.get_or_insert_async(&key, load(key)).await }
        })
    })]
}

fn numbers() -> Arc<Cache<u64, u64>> {
    let cache = Cache::new(ROOM);
    for key in 0..KEYS as u64 {
        cache.insert(key, key);
    }
    Arc::new(cache)
}
