//! Stages of a stream.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use mainstay_batch::{Concurrency, ItemError, Stages, map_concurrent, map_stream};
use tokio::time::Instant;
use tokio_test::{assert_pending, task};

use crate::millis;

/// Eight at once, in order, and never more than eight ahead of who takes them.
#[tokio::test(start_paused = true)]
async fn a_stage_works_on_several_at_once_and_pulls_no_further() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let source = stream::iter(0..50).inspect(move |_| count(&counter));
    let mut stage = Box::pin(map_stream(source, at_once(8), async |it| {
        tokio::time::sleep(millis(10)).await;
        Ok::<_, Infallible>(it)
    }));
    let start = Instant::now();
    for taken in 0..50 {
        assert_eq!(stage.next().await, Some(Ok(taken)));
        assert!(pulled.load(Ordering::SeqCst) <= taken + 8);
    }
    assert_eq!(stage.next().await, None);
    // Fifty by eight, rounded up.
    assert_eq!(start.elapsed(), millis(70));
}

/// In order, results that wait for an earlier one count as those that are worked on.
#[tokio::test(start_paused = true)]
async fn an_ordered_stage_does_not_run_away_from_a_slow_item() {
    let pulled = AtomicUsize::new(0);
    let source = stream::iter(0..).inspect(|_| count(&pulled));
    let stage = map_stream(source, at_once(4), async |it| {
        if it == 0 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(it)
    });
    let mut stage = task::spawn(stage);
    for _ in 0..10 {
        assert_pending!(stage.poll_next());
    }
    assert_eq!(pulled.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn one_bad_item_does_not_end_the_stream() {
    let stage = map_stream(stream::iter(0..6), at_once(2), async |it| {
        assert!(it != 4, "unlucky");
        if it == 1 { Err("no") } else { Ok(it) }
    });
    let results: Vec<_> = stage.collect().await;
    assert_eq!(results.len(), 6);
    assert_eq!(results[1], Err(ItemError::Failed("no")));
    assert!(matches!(results[4], Err(ItemError::Panicked(_))));
    assert_eq!(results[5], Ok(5));
}

#[tokio::test(start_paused = true)]
async fn failed_items_pass_through_later_stages_in_their_place() {
    let second = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&second);
    let stages = map_concurrent(
        0..6,
        at_once(3),
        async |it| {
            if it % 2 == 0 { Ok(it) } else { Err(it) }
        },
    )
    .transform(at_once(2), move |it| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(millis(1)).await;
            if it == 4 { Err(40) } else { Ok(it * 10) }
        }
    })
    .keep_if(|it| *it != 20);
    let results: Vec<_> = StreamExt::collect(stages).await;
    let failed = |it| Err(ItemError::Failed(it));
    assert_eq!(
        results,
        [Ok(0), failed(1), failed(3), failed(40), failed(5)]
    );
    assert_eq!(second.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_filter_can_be_asynchronous() {
    let stages = map_stream(stream::iter(0..10), at_once(4), async |it| {
        tokio::time::sleep(millis(10 - it)).await;
        Ok::<_, Infallible>((it % 3 == 0).then_some(it))
    });
    let kept: Vec<_> = StreamExt::collect(stages.keep_some()).await;
    assert_eq!(kept, [Ok(0), Ok(3), Ok(6), Ok(9)]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_panics_fails_its_item_only() {
    let stages = map_stream(stream::iter(0..4), at_once(1), async |it| {
        Ok::<_, Infallible>(it)
    });
    let stages = stages.keep_if(|it| {
        assert!(*it != 1, "unlucky");
        *it != 2
    });
    let kept: Vec<_> = stages.collect().await;
    assert_eq!(kept.len(), 3);
    assert_eq!((&kept[0], &kept[2]), (&Ok(0), &Ok(3)));
    assert!(matches!(kept[1], Err(ItemError::Panicked(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stage_through_a_service() {
    let service = tower::service_fn(async |it: u32| Ok::<_, Infallible>(it + 1));
    let stages = map_concurrent(0..3, at_once(2), async |it| Ok(it * 10));
    let results: Vec<_> = StreamExt::collect(stages.transform_through(at_once(2), service)).await;
    assert_eq!(results, [Ok(1), Ok(11), Ok(21)]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_keeps_nothing_leaves_others_their_turn() {
    let endless = map_stream(stream::iter(0_u64..), at_once(1), async |it| {
        Ok::<_, Infallible>(it)
    });
    let endless = endless.keep_if(|_| false).keep_if(|_| false);
    let endless = tokio::spawn(StreamExt::collect::<Vec<_>>(endless));
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(!endless.is_finished());
    endless.abort();
}

fn at_once(items: usize) -> Concurrency {
    Concurrency::new(items).unwrap()
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}
