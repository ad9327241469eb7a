//! Instances that are replaced in good order, one after another, under load.

use std::collections::HashSet;
use std::time::Duration;

use mainstay::Supervisor;
use mainstay_examples::trial_proto::{ReadRequest, WriteRequest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, plugin};

const CALLERS: u64 = 16;
/// For what takes a second, on a machine that has a lot else to do.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_replaces_all_instances_and_fails_no_call() {
    let fleet = Fleet::new().await;
    let callers = load(&fleet);
    for _ in 0..3 {
        let before: HashSet<_> = fleet.pids().into_iter().collect();
        fleet.instances.restart();
        until("all are replaced", || {
            let now: HashSet<_> = fleet.pids().into_iter().collect();
            assert!(now.len() <= 3, "one more at most: {now:?}");
            now.len() == 2 && now.is_disjoint(&before)
        })
        .await;
    }
    end(callers, fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_grow_old_are_replaced_and_no_call_fails() {
    let young = |it: Supervisor| it.with_lifetime(Duration::from_millis(500)).unwrap();
    let fleet = Fleet::started(|_| plugin(), young).await;
    let callers = load(&fleet);
    let mut pids = HashSet::new();
    until("many have come and gone", || {
        pids.extend(fleet.pids());
        pids.len() >= 8
    })
    .await;
    end(callers, fleet).await;
}

/// Each gives the number of its writes when it is told to end, by dropping the set.
fn load(fleet: &Fleet) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = fleet.client();
        callers.spawn(async move {
            for id in caller << 32.. {
                let request = WriteRequest {
                    id,
                    milliseconds: 1,
                    answer_size: 16,
                };
                client.write(request).await.expect("no write fails");
                let request = ReadRequest {
                    milliseconds: 1,
                    answer_size: 16,
                };
                client.read(request).await.expect("no read fails");
            }
        });
    }
    callers
}

async fn end(mut callers: JoinSet<()>, fleet: Fleet) {
    assert!(callers.try_join_next().is_none(), "one has failed");
    callers.shutdown().await;
    let mut runs = fleet.runs.read().unwrap();
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert!(all > 100, "{all} writes");
    assert_eq!(runs.len(), all, "one ran twice");
    fleet.end().await;
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        // A real sleep, as nothing wakes us when another process is there.
        sleep(Duration::from_millis(5)).await;
    }
}
