use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use mainstay_tasks::LocalGroup;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn its_members_borrow_and_wait_at_once() {
    let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let ended = Mutex::new(Vec::new());
    let start = Instant::now();
    let mut group = LocalGroup::<_, ()>::new();
    for (seconds, name) in (1..).zip(&names) {
        let ended = &ended;
        group.add(async move {
            sleep(SECOND * (4 - seconds)).await;
            ended.lock().unwrap().push(name); // nobody panics with it
            Ok(name.len())
        });
    }
    assert_eq!(group.await, Ok(vec![1, 1, 1]));
    assert_eq!(start.elapsed(), SECOND * 3);
    assert_eq!(ended.into_inner().unwrap(), ["c", "b", "a"]);
}

/// Counts itself while it is alive.
struct Alive<'a>(&'a AtomicUsize);

impl<'a> Alive<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_first_error_is_returned_the_others_are_gone() {
    let count = AtomicUsize::new(0);
    let mut group = LocalGroup::<(), _>::new();
    for _ in 0..10 {
        let alive = Alive::new(&count);
        group.add(async move {
            let _alive = alive;
            pending().await
        });
    }
    group.add(async {
        sleep(SECOND).await;
        Err("no disk")
    });
    assert_eq!(count.load(SeqCst), 10);
    assert_eq!((&mut group).await, Err("no disk"));
    assert_eq!(count.load(SeqCst), 0);
    drop(group);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_dropped_or_panics_leaves_nobody() {
    let count = AtomicUsize::new(0);
    let group = |last_panics: bool| {
        let mut group = LocalGroup::<(), ()>::new();
        let alive = Alive::new(&count);
        group.add(async move {
            let _alive = alive;
            pending().await
        });
        group.add(async move {
            assert!(!last_panics, "at the disk");
            pending().await
        });
        group
    };
    assert!(timeout(SECOND, group(false)).await.is_err());
    assert_eq!(count.load(SeqCst), 0);

    let mut panics = Box::pin(group(true));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _ = panics.as_mut().poll(&mut cx);
    }));
    assert!(polled.is_err());
    drop(panics);
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn only_who_was_woken_is_polled() {
    let polls = AtomicUsize::new(0);
    let mut group = LocalGroup::<(), ()>::new();
    for seconds in 1..=100 {
        let polls = &polls;
        group.add(async move {
            let mut sleep = std::pin::pin!(sleep(SECOND * seconds));
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, SeqCst);
                sleep.as_mut().poll(cx)
            })
            .await;
            Ok(())
        });
    }
    group.await.unwrap();
    assert_eq!(polls.load(SeqCst), 200);
}

#[tokio::test]
async fn a_group_of_none_completes() {
    assert_eq!(LocalGroup::<(), ()>::new().await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn its_members_are_woken_from_other_threads() {
    let mut group = LocalGroup::<usize, oneshot::error::RecvError>::new();
    let mut senders = Vec::new();
    for _ in 0..1000 {
        let (sender, receiver) = oneshot::channel();
        senders.push(sender);
        group.add(receiver);
    }
    for (n, sender) in senders.into_iter().enumerate() {
        tokio::spawn(async move { sender.send(n) });
    }
    assert_eq!(group.await, Ok((0..1000).collect()));
}

#[tokio::test(start_paused = true)]
async fn more_can_be_added_to_a_group_that_was_polled() {
    let mut group = LocalGroup::<u32, ()>::new();
    group.add(async {
        sleep(SECOND * 2).await;
        Ok(1)
    });
    assert!(timeout(SECOND, &mut group).await.is_err());
    group.add(async { Ok(2) });
    assert_eq!(group.await, Ok(vec![1, 2]));
}
