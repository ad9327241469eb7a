//! The peers' rows.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::dataloader::{DataLoader, Loader};
use batch_aint_one::{Batcher, BatchingPolicy, Limits, OnFull, Processor};
use futures_util::{StreamExt, stream};
use tokio::{sync::Semaphore, task::JoinSet};
use tower::buffer::Buffer;
use tower_batch::{Batch, BatchControl};
use tower_service::Service;

use super::{AT_ONCE, BATCH, Batches, Counting, EACH, Item, Many, Mapped, lots, steady};
use crate::{
    backend::{Backend, Failed},
    group::{Role::Peer, Row},
    work::{Function, Tower},
};

const LINGER: Duration = Duration::from_millis(1);

pub(super) fn requests<const EACH: u64>() -> Vec<Row> {
    vec![
        Row::new("tower-batch", Peer, || {
            Many::<EACH, _>(batched(Items::default()))
        }),
        aint_one::<EACH>("batch-aint-one, immediate", || BatchingPolicy::Immediate),
        aint_one::<EACH>("batch-aint-one, balanced", || BALANCED),
        aint_one::<EACH>("batch-aint-one, duration", || DURATION),
        Row::new("tower, buffer", Peer, || {
            Many::<EACH, _>(Tower(Buffer::new(Backend::<0>, 10_000)))
        }),
    ]
}

pub(super) fn steady() -> Vec<steady::Run> {
    vec![
        |tasks, workers| {
            let make = |sent| batched(Items(sent, 0));
            steady::measure("tower-batch", make, (tasks, workers))
        },
        |tasks, workers| {
            let policy = BatchingPolicy::Immediate;
            steady_aint_one("batch-aint-one, immediate", policy, (tasks, workers))
        },
        |tasks, workers| steady_aint_one("batch-aint-one, balanced", BALANCED, (tasks, workers)),
        |tasks, workers| steady_aint_one("batch-aint-one, duration", DURATION, (tasks, workers)),
    ]
}

const BALANCED: BatchingPolicy = BatchingPolicy::Balanced {
    min_size_hint: BATCH / 2,
};

const DURATION: BatchingPolicy = BatchingPolicy::Duration(LINGER, OnFull::Process);

fn batched(service: Items) -> Tower<Batch<Items, u64>> {
    Tower(Batch::new(service, BATCH, LINGER))
}

fn aint_one<const EACH: u64>(name: &'static str, policy: fn() -> BatchingPolicy) -> Row {
    Row::new(name, Peer, move || {
        let batcher = batcher(policy(), Batches::default());
        Many::<EACH, _>(Function(move |request| {
            let batcher = Arc::clone(&batcher);
            async move { batcher.add((), request).await }
        }))
    })
}

fn steady_aint_one(
    name: &'static str,
    policy: BatchingPolicy,
    crowd: (usize, usize),
) -> steady::Steady {
    let make = |sent| {
        let batcher = batcher(policy, Batches(sent));
        Function(move |request| {
            let batcher = Arc::clone(&batcher);
            async move { batcher.add((), request).await }
        })
    };
    steady::measure(name, make, crowd)
}

fn batcher(policy: BatchingPolicy, service: Batches) -> Arc<Batcher<Batches>> {
    let limits = Limits::builder()
        .max_batch_size(BATCH)
        .max_key_concurrency(1)
        .max_key_queued_items(100 * BATCH)
        .build();
    let batcher = Batcher::builder()
        .name("bench")
        .processor(service)
        .limits(limits)
        .batching_policy(policy)
        .build();
    Arc::new(batcher)
}

pub(super) fn loads() -> Vec<Row> {
    vec![Row::new("async-graphql", Peer, || {
        let loader = DataLoader::new(Keys, tokio::spawn);
        let loader = Arc::new(loader.max_batch_size(BATCH).delay(LINGER));
        Many::<EACH, _>(Function(move |request| {
            let loader = Arc::clone(&loader);
            async move { loader.load_one(request % 10_000).await }
        }))
    })]
}

pub(super) fn maps<F: Item>(item: fn(u64) -> F) -> Vec<Row> {
    vec![
        Row::new("futures, buffer_unordered", Peer, move || {
            Mapped(move |items| {
                let items = stream::iter(0..items).map(item);
                let done = items
                    .buffer_unordered(AT_ONCE)
                    .filter(|it| ready(it.is_ok()));
                Box::pin(async move { done.count().await as u64 }) as Counting
            })
        }),
        Row::new("futures, buffered", Peer, move || {
            Mapped(move |items| {
                let items = stream::iter(0..items).map(item);
                let done = items.buffered(AT_ONCE).filter(|it| ready(it.is_ok()));
                Box::pin(async move { done.count().await as u64 }) as Counting
            })
        }),
    ]
}

pub(super) fn spawned<F: Item>(item: fn(u64) -> F) -> Vec<Row> {
    vec![
        Row::new("tokio, JoinSet with semaphore", Peer, move || {
            lots(move |items| {
                Box::pin(async move {
                    let semaphore = Arc::new(Semaphore::new(AT_ONCE));
                    let mut set = JoinSet::new();
                    let mut succeeded = 0;
                    for it in 0..items {
                        let permit = Arc::clone(&semaphore).acquire_owned().await;
                        set.spawn(async move {
                            let result = item(it).await;
                            drop(permit);
                            result
                        });
                        while let Some(ended) = set.try_join_next() {
                            succeeded += u64::from(ended.is_ok_and(|it| it.is_ok()));
                        }
                    }
                    while let Some(ended) = set.join_next().await {
                        succeeded += u64::from(ended.is_ok_and(|it| it.is_ok()));
                    }
                    succeeded
                }) as Counting
            })
        }),
        Row::new("futures, buffer_unordered over spawn", Peer, move || {
            lots(move |items| {
                let tasks = stream::iter(0..items).map(move |it| tokio::spawn(item(it)));
                let done = tasks.buffer_unordered(AT_ONCE);
                let done = done.filter(|it| ready(it.as_ref().is_ok_and(Result::is_ok)));
                Box::pin(async move { done.count().await as u64 }) as Counting
            })
        }),
    ]
}

/// Answers each item at once, and counts them.
#[derive(Default)]
struct Items(Arc<steady::Sent>, usize);

impl Service<BatchControl<u64>> for Items {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, control: BatchControl<u64>) -> Self::Future {
        match control {
            BatchControl::Item(item) => {
                self.1 += 1;
                ready(Backend::<0>.answer(item))
            }
            BatchControl::Flush => {
                self.0.batch(std::mem::take(&mut self.1));
                ready(Ok(0))
            }
        }
    }
}

impl Processor for Batches {
    type Key = ();
    type Input = u64;
    type Output = u64;
    type Error = Failed;
    type Resources = ();

    async fn acquire_resources(&self, (): ()) -> Result<(), Failed> {
        Ok(())
    }

    async fn process(
        &self,
        (): (),
        inputs: impl Iterator<Item = u64> + Send,
        (): (),
    ) -> Result<Vec<u64>, Failed> {
        let answers: Result<Vec<_>, _> = inputs.map(|it| Backend::<0>.answer(it)).collect();
        self.0.batch(answers.as_ref().map_or(0, Vec::len));
        answers
    }
}

struct Keys;

impl Loader<u64> for Keys {
    type Value = u64;
    type Error = Failed;

    async fn load(&self, keys: &[u64]) -> Result<HashMap<u64, u64>, Failed> {
        let find = |key: &u64| Backend::<0>.answer(*key).map(|it| (*key, it));
        keys.iter().map(find).collect()
    }
}
