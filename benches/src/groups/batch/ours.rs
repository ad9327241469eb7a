//! Our own rows.

use mainstay_batch::{Batch, BatchLayer, Concurrency, Limits, Loader, map_concurrent};
use tower::Layer;

use super::{AT_ONCE, BATCH, Batches, Counting, EACH, Item, Many, Mapped, lots, steady};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Ours, Row},
    work::{Function, Tower},
};

pub(super) fn requests<const EACH: u64>() -> Vec<Row> {
    vec![
        Row::new("mainstay", Ours, || {
            Many::<EACH, _>(batched(Batches::default()))
        }),
        Row::new("mainstay, by lanes of 4", Ours, || {
            Many::<EACH, _>(in_lanes(Batches::default()))
        }),
    ]
}

pub(super) fn steady() -> Vec<steady::Run> {
    vec![
        |tasks, workers| {
            let make = |sent| batched(Batches(sent));
            steady::measure("mainstay", make, (tasks, workers))
        },
        |tasks, workers| {
            let make = |sent| in_lanes(Batches(sent));
            steady::measure("mainstay, by lanes of 4", make, (tasks, workers))
        },
    ]
}

fn batched(service: Batches) -> Tower<Batch<u64, u64>> {
    Tower(BatchLayer::new(limits()).layer(service))
}

fn in_lanes(service: Batches) -> Tower<Batch<u64, u64, fn(&u64) -> u64>> {
    let layer = BatchLayer::new(limits()).with_lanes((|it| it % 4) as fn(&u64) -> u64);
    Tower(layer.layer(service))
}

pub(super) fn loads() -> Vec<Row> {
    vec![Row::new("mainstay", Ours, || {
        let service = tower::service_fn(|keys: Vec<u64>| {
            let find = |key| Backend::<0>.answer(key).map(Some);
            std::future::ready(Ok::<Vec<_>, Failed>(keys.into_iter().map(find).collect()))
        });
        let loader = Loader::new(service, limits());
        Many::<EACH, _>(Function(move |request| loader.load(request % 10_000)))
    })]
}

pub(super) fn maps<F: Item>(item: fn(u64) -> F) -> Vec<Row> {
    vec![
        Row::new("mainstay", Ours, move || {
            Mapped(move |items| {
                let map = map_concurrent(0..items, at_once(), item);
                count(map.unordered())
            })
        }),
        Row::new("mainstay, in order", Ours, move || {
            Mapped(move |items| count(map_concurrent(0..items, at_once(), item)))
        }),
    ]
}

pub(super) fn spawned<F: Item>(item: fn(u64) -> F) -> Vec<Row> {
    vec![Row::new("mainstay, spawned", Ours, move || {
        lots(move |items| {
            count(
                map_concurrent(0..items, at_once(), item)
                    .unordered()
                    .spawned(),
            )
        })
    })]
}

/// How many succeed.
fn count<S, E>(map: S) -> Counting
where
    S: futures_core::Stream<Item = Result<u64, E>> + Send + 'static,
{
    let mut map = Box::pin(map);
    Box::pin(async move {
        let mut succeeded = 0;
        while let Some(result) = std::future::poll_fn(|cx| map.as_mut().poll_next(cx)).await {
            succeeded += u64::from(result.is_ok());
        }
        succeeded
    })
}

fn limits() -> Limits {
    Limits::new(BATCH).expect("a hundred")
}

fn at_once() -> Concurrency {
    Concurrency::new(AT_ONCE).expect("64")
}
