use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use mainstay_tasks::TaskGroup;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn results_are_in_the_order_of_the_tasks() {
    let mut group = TaskGroup::<u64, ()>::new();
    for n in 0..10 {
        group.spawn(async move {
            sleep(Duration::from_secs(10 - n)).await;
            Ok(n)
        });
    }
    assert_eq!(group.join().await, Ok((0..10).collect()));
}

#[tokio::test(start_paused = true)]
async fn when_the_first_error_is_returned_the_others_are_gone() {
    let held = Arc::new(());
    let mut group = TaskGroup::<(), &str>::new();
    for _ in 0..10 {
        let held = held.clone();
        group.spawn(async move {
            let _held = held;
            pending().await
        });
    }
    group.spawn(async {
        sleep(Duration::from_secs(1)).await;
        Err("no disk")
    });
    assert_eq!(group.join().await, Err("no disk"));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn when_a_panic_goes_on_the_others_are_gone() {
    let held = Arc::new(());
    let theirs = held.clone();
    let joined = tokio::spawn(async move {
        let mut group = TaskGroup::<(), ()>::new();
        group.spawn(async move {
            let _held = theirs;
            pending().await
        });
        group.spawn(async { panic!("at the disk") });
        group.join().await
    });
    assert!(joined.await.unwrap_err().is_panic());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_dropped_leaves_nothing_running() {
    let held = Arc::new(());
    let mut group = TaskGroup::<(), ()>::new();
    let theirs = held.clone();
    group.spawn(async move {
        let _held = theirs;
        pending().await
    });
    assert!(
        tokio::time::timeout(Duration::from_secs(1), group.join())
            .await
            .is_err()
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}
