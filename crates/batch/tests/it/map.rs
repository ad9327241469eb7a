//! The bounded map.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::{StreamExt, stream};
use mainstay_batch::{
    Concurrency, ItemError, Panicked, map_chunks, map_concurrent, map_service, map_stream,
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_test::{assert_pending, assert_ready, task};
use tower::ServiceBuilder;

use crate::{millis, seconds};

/// A batch size that is ignored, and a future for each item from the start: both are not so here.
#[tokio::test(start_paused = true)]
async fn no_more_items_are_worked_on_or_pulled_than_the_limit() {
    for is_ordered in [true, false] {
        let (pulled, alive, most) = (counter(), counter(), counter());
        let items = (0..1_000).inspect(|_| count(&pulled));
        let map = map_concurrent(items, at_once(7), |it: usize| {
            let guard = Alive::new(&alive, &most);
            async move {
                tokio::time::sleep(millis(1 + it as u64 * 7 % 5)).await;
                drop(guard);
                Ok::<_, Infallible>(it)
            }
        });
        let mut map = Box::pin(if is_ordered { map } else { map.unordered() });
        let mut results = Vec::new();
        while let Some(result) = map.next().await {
            results.push(result.unwrap());
            assert!(pulled.load(Ordering::SeqCst) <= results.len() + 7);
        }
        assert_eq!(most.load(Ordering::SeqCst), 7);
        assert_eq!(results.is_sorted(), is_ordered);
        results.sort_unstable();
        assert_eq!(results, (0..1_000).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_pulled_before_it_is_polled() {
    let pulled = counter();
    let items = (0..10).inspect(|_| count(&pulled));
    let map = map_concurrent(items, at_once(2), |_| pending::<Result<(), Infallible>>());
    let mut map = task::spawn(map.collect());
    assert_eq!(pulled.load(Ordering::SeqCst), 0);
    assert_pending!(map.poll());
    assert_eq!(pulled.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn results_are_apart_from_errors_and_in_the_order_of_the_items() {
    let results = map_concurrent(0..20_u64, at_once(4), async |it| {
        tokio::time::sleep(millis(20 - it)).await;
        if it % 3 == 0 { Err(it) } else { Ok(it * 10) }
    });
    let results = results.collect().await;
    for (item, result) in (0..20).zip(&results) {
        match result {
            Ok(value) => assert_eq!((*value, item % 3 != 0), (item * 10, true)),
            Err(error) => assert_eq!(*error, ItemError::Failed(item)),
        }
    }
    assert_eq!(results.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn eight_at_once_take_an_eighth_of_the_time() {
    let start = Instant::now();
    let results = map_concurrent(0..50, at_once(8), async |it| {
        tokio::time::sleep(millis(10)).await;
        Ok::<_, Infallible>(it)
    });
    assert_eq!(results.collect().await.len(), 50);
    assert_eq!(start.elapsed(), millis(70));
}

/// An item that takes long keeps none behind it from starting, where all are collected.
#[tokio::test(start_paused = true)]
async fn a_slow_item_holds_up_no_other_when_all_are_collected() {
    let start = Instant::now();
    let results = map_concurrent(0..10, at_once(2), async |it| {
        tokio::time::sleep(millis(if it == 0 { 90 } else { 10 })).await;
        Ok::<_, Infallible>(it)
    });
    assert_eq!(results.collect().await.len(), 10);
    assert_eq!(start.elapsed(), millis(90));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_drops_all_others_when_it_shall() {
    for is_spawned in [false, true] {
        let (alive, most) = (counter(), counter());
        let map = map_concurrent(0..100, at_once(4), |it: u64| {
            let guard = Alive::new(&alive, &most);
            async move {
                let _guard = guard;
                tokio::time::sleep(millis(10 + it)).await;
                if it == 2 { Err("no") } else { Ok(it) }
            }
        });
        let failed = if is_spawned {
            map.spawned().try_collect::<u64>().await.unwrap_err()
        } else {
            map.try_collect::<u64>().await.unwrap_err()
        };
        assert_eq!(failed, ItemError::Failed("no"));
        // Aborted tasks are dropped when their turn comes.
        tokio::task::yield_now().await;
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert!(most.load(Ordering::SeqCst) <= 4);
    }
    let all = map_concurrent(0..100, at_once(4), async |it| Ok::<_, Infallible>(it));
    assert_eq!(all.try_collect().await, Ok((0..100).collect::<Vec<_>>()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_result_of_its_item() {
    for is_spawned in [false, true] {
        let map = map_concurrent(0..10, at_once(3), |it| {
            assert!(it != 2, "unlucky");
            async move {
                tokio::task::yield_now().await;
                assert!(it != 5, "unlucky");
                Ok::<_, Infallible>(it)
            }
        });
        let results = if is_spawned {
            map.spawned().collect().await
        } else {
            map.collect().await
        };
        for (item, result) in (0..10).zip(results) {
            match result {
                Ok(value) => assert_eq!(value, item),
                Err(ItemError::Panicked(panicked)) => {
                    assert!(item == 2 || item == 5);
                    assert_eq!(Panicked::message(&panicked), Some("unlucky"));
                }
                Err(ItemError::Failed(never)) => match never {},
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_dropped_future_is_the_result_of_its_item() {
    struct Bad(bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(!self.0, "unlucky");
        }
    }
    let results = map_concurrent(0..3, at_once(2), |it| {
        let bad = Bad(it == 1);
        std::future::poll_fn(move |_| Poll::Ready(Ok::<_, Infallible>(!bad.0)))
    });
    let results: Vec<_> = results.collect().await;
    let is_ok: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_ok, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_map_drops_all_its_items_after_every_number_of_polls() {
    for is_spawned in [false, true] {
        for polls in 0..12 {
            let (alive, most) = (counter(), counter());
            let map = map_concurrent(0..6, at_once(3), |_| {
                let guard = Alive::new(&alive, &most);
                async move {
                    let _guard = guard;
                    tokio::task::yield_now().await;
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(())
                }
            });
            let progress = map.progress();
            let mut map: std::pin::Pin<Box<dyn Future<Output = _>>> = if is_spawned {
                Box::pin(map.spawned().collect())
            } else {
                Box::pin(map.collect())
            };
            for _ in 0..polls {
                if futures_util::poll!(map.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(map);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            assert_eq!(alive.load(Ordering::SeqCst), 0, "after {polls} polls");
            assert_eq!(progress.snapshot().in_flight, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn progress_shows_what_is_done_failed_and_in_flight() {
    let gate = Arc::new(Semaphore::new(0));
    let map = map_concurrent(0..10, at_once(4), |it| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            if it % 2 == 0 { Ok(it) } else { Err(it) }
        }
    });
    let progress = map.progress();
    let shown = || {
        let now = progress.snapshot();
        (now.done, now.failed, now.in_flight)
    };
    let mut map = task::spawn(map.collect());
    assert_eq!(shown(), (0, 0, 0));
    assert_pending!(map.poll());
    assert_eq!(shown(), (0, 0, 4));
    gate.add_permits(3);
    assert_pending!(map.poll());
    assert_eq!(shown(), (2, 1, 4));
    gate.add_permits(7);
    while map.poll().is_pending() {}
    assert_eq!(shown(), (5, 5, 0));
    drop(map);
    assert_eq!(shown(), (5, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn items_that_are_always_ready_leave_others_their_turn() {
    let map = map_concurrent(0.., at_once(4), |_: u64| ready(Ok::<_, Infallible>(())));
    let endless = tokio::spawn(map.collect());
    // A task that never yields would keep us from ever coming back.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(!endless.is_finished());
    endless.abort();
}

#[tokio::test(start_paused = true)]
async fn items_that_always_wake_themselves_leave_others_their_turn() {
    let map = map_concurrent(0..4, at_once(4), |_| {
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<Result<(), Infallible>>::Pending
        })
    });
    let endless = tokio::spawn(map.collect());
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(!endless.is_finished());
    endless.abort();
}

/// Each has a limit of its own.
#[tokio::test(start_paused = true)]
async fn maps_do_not_share_their_limit() {
    let start = Instant::now();
    let map = || {
        let map = map_concurrent(0..4, at_once(2), async |_| {
            tokio::time::sleep(seconds(1)).await;
            Ok::<_, Infallible>(())
        });
        map.collect()
    };
    tokio::join!(map(), map());
    assert_eq!(start.elapsed(), seconds(2));
}

#[tokio::test(start_paused = true)]
async fn only_those_that_were_woken_are_polled() {
    let polls = counter();
    let gates: Vec<_> = (0..200).map(|_| Arc::new(Semaphore::new(0))).collect();
    let map = map_concurrent(0..200, at_once(200), |it: usize| {
        let (gate, polls) = (Arc::clone(&gates[it]), Arc::clone(&polls));
        let mut opened = Box::pin(async move { gate.acquire().await.map(drop) });
        std::future::poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::SeqCst);
            opened.as_mut().poll(cx).map(|_| Ok::<_, Infallible>(it))
        })
    });
    let mut map = task::spawn(map.unordered());
    for _ in 0..3 {
        assert_pending!(map.poll_next());
    }
    assert_eq!(polls.load(Ordering::SeqCst), 200);
    for it in [0, 63, 64, 130, 199] {
        gates[it].add_permits(1);
        assert!(map.is_woken());
        assert_eq!(assert_ready!(map.poll_next()), Some(Ok(it)));
        assert_pending!(map.poll_next());
    }
    assert_eq!(polls.load(Ordering::SeqCst), 205);
}

#[tokio::test(start_paused = true)]
async fn chunks_have_so_many_items_and_are_pulled_as_there_is_room() {
    let size = std::num::NonZeroUsize::new(10).unwrap();
    let pulled = counter();
    let items = (0..95).inspect(|_| count(&pulled));
    let map = map_chunks(items, size, at_once(3), async |chunk: Vec<u32>| {
        tokio::time::sleep(millis(1)).await;
        match chunk.contains(&42) {
            true => Err("no"),
            false => Ok(chunk),
        }
    });
    assert_eq!(futures_util::Stream::size_hint(&map), (0, Some(10)));
    let mut map = Box::pin(map);
    let mut chunks = Vec::new();
    while let Some(chunk) = map.next().await {
        assert!(pulled.load(Ordering::SeqCst) <= 10 * (chunks.len() + 3));
        chunks.push(chunk);
    }
    assert_eq!(chunks.len(), 10);
    for (number, chunk) in (0..).zip(chunks) {
        let expected: Vec<_> = (10 * number..95.min(10 * number + 10)).collect();
        let failed = Err(ItemError::Failed("no"));
        assert_eq!(chunk, if number == 4 { failed } else { Ok(expected) });
    }
}

#[tokio::test(start_paused = true)]
async fn of_nothing_there_is_no_chunk_nor_an_empty_last_one() {
    for (items, chunks) in [(0, 0), (1, 1), (9, 1), (10, 1), (11, 2), (20, 2)] {
        let size = std::num::NonZeroUsize::new(10).unwrap();
        let map = map_chunks(0..items, size, at_once(3), |it| {
            ready(Ok::<_, Infallible>(it.len()))
        });
        let lengths = map.try_collect().await.unwrap();
        assert_eq!((lengths.len(), lengths.iter().sum()), (chunks, items));
    }
}

/// Its place is free again when that wake is seen.
#[tokio::test(start_paused = true)]
async fn an_item_may_wake_itself_and_be_ready_at_once() {
    let results = map_concurrent(0..10, at_once(4), |it| {
        std::future::poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(Ok::<_, Infallible>(it))
        })
    });
    assert_eq!(results.try_collect().await, Ok((0..10).collect::<Vec<_>>()));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_whether_it_is_ready() {
    let (alive, most) = (counter(), counter());
    let service = ServiceBuilder::new()
        .concurrency_limit(3)
        .service_fn(|it: u64| {
            let guard = Alive::new(&alive, &most);
            async move {
                tokio::time::sleep(millis(1)).await;
                drop(guard);
                Ok::<_, Infallible>(it * 10)
            }
        });
    let results = map_service(0..50, at_once(10), service).try_collect().await;
    assert_eq!(results, Ok((0..50).map(|it| it * 10).collect::<Vec<_>>()));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_ends_the_map_after_what_runs() {
    let (service, mut calls) = tower_test::mock::pair::<u32, u32>();
    let mut map = task::spawn(map_service(0..10, at_once(2), service));
    calls.allow(1);
    assert_pending!(map.poll_next());
    let (item, answer) = calls.next_request().await.unwrap();
    calls.send_error("gone");
    assert_pending!(map.poll_next());
    answer.send_response(item + 1);
    assert_eq!(assert_ready!(map.poll_next()).unwrap().unwrap(), 1);
    let error = assert_ready!(map.poll_next()).unwrap().unwrap_err();
    assert_eq!(error.into_failure().unwrap().to_string(), "gone");
    assert!(assert_ready!(map.poll_next()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_a_source_too() {
    let items = stream::unfold(0_u32, async |it| {
        tokio::time::sleep(millis(1)).await;
        (it < 100).then_some((it, it + 1))
    });
    let results = map_stream(items, at_once(8), async |it| {
        tokio::time::sleep(millis(5)).await;
        Ok::<_, Infallible>(it)
    });
    let start = Instant::now();
    let results = results.try_collect().await;
    assert_eq!(results, Ok((0..100).collect::<Vec<_>>()));
    // While the source is waited for, items are worked on.
    assert!(start.elapsed() <= millis(110), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawned_items_run_at_once_on_several_threads() {
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let results = map_concurrent(0..2, at_once(2), move |it| {
        let barrier = Arc::clone(&barrier);
        async move {
            // Blocks its thread until the other comes.
            barrier.wait();
            Ok::<_, Infallible>(it)
        }
    });
    let results = tokio::spawn(results.spawned().try_collect()).await.unwrap();
    assert_eq!(results, Ok(vec![0, 1]));
}

/// A map on its caller's task stands still while nobody polls it; spawned items do not.
#[tokio::test(start_paused = true)]
async fn spawned_items_go_on_while_the_map_is_not_polled() {
    let done = counter();
    let map = map_concurrent(0..2, at_once(2), |_| {
        let done = Arc::clone(&done);
        async move {
            tokio::time::sleep(millis(1)).await;
            done.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        }
    });
    let mut map = task::spawn(map.spawned());
    assert_pending!(map.poll_next());
    tokio::time::sleep(millis(2)).await;
    assert_eq!(done.load(Ordering::SeqCst), 2);
    assert_eq!(assert_ready!(map.poll_next()), Some(Ok(())));
}

#[test]
fn a_map_tells_how_much_is_left() {
    let map = map_concurrent(0..10, at_once(3), |it| ready(Ok::<_, Infallible>(it)));
    let mut map = task::spawn(map);
    for left in (0..10).rev() {
        assert!(assert_ready!(map.poll_next()).is_some());
        let (least, most) = futures_util::Stream::size_hint(&*map);
        assert!(least <= left && Some(left) <= most, "{least} {most:?}");
        assert!(most <= Some(left + 1));
    }
}

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(alive: &Arc<AtomicUsize>, most: &AtomicUsize) -> Self {
        most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(Arc::clone(alive))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}

fn at_once(items: usize) -> Concurrency {
    Concurrency::new(items).unwrap()
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}
