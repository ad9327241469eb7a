//! A process that is stopped: it is there, its socket is open, and nobody is at home.

use std::time::Duration;

use mainstay_examples::trial_proto::{ReadRequest, WriteRequest};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};

use crate::fleet::{Fleet, plugin, signal, started_with};

const DEADLINE: Duration = Duration::from_secs(3);
/// What timers, and a machine with a lot else to do, may add to it.
const LATE: Duration = Duration::from_secs(1);
const CALLERS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_instance_is_replaced_and_its_calls_end_by_their_deadline() {
    let fleet = Fleet::started(
        |_| plugin().with_stop_within(Duration::from_millis(200)),
        |it| it,
    )
    .await;
    let victim = fleet.pids()[0];
    let mut callers = JoinSet::new();
    let end = Instant::now() + Duration::from_secs(6);
    for caller in 0..CALLERS {
        let mut client = fleet.client();
        callers.spawn(async move {
            let mut expired = 0;
            let mut id = caller << 32;
            while Instant::now() < end {
                let begun = Instant::now();
                id += 1;
                let status = if caller.is_multiple_of(2) {
                    let mut request = Request::new(ReadRequest::default());
                    request.set_timeout(DEADLINE);
                    client.read(request).await.err()
                } else {
                    let request = WriteRequest {
                        id,
                        ..WriteRequest::default()
                    };
                    let mut request = Request::new(request);
                    request.set_timeout(DEADLINE);
                    client.write(request).await.err()
                };
                assert!(begun.elapsed() < DEADLINE + LATE, "{:?}", begun.elapsed());
                if let Some(status) = status {
                    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                    expired += 1;
                }
            }
            expired
        });
    }
    // So that it has calls.
    sleep(Duration::from_millis(100)).await;
    signal(victim, Signal::STOP);
    let stopped = Instant::now();
    // A real sleep, as nothing wakes us when another process is there.
    while fleet.pids().iter().filter(|it| **it != victim).count() < 2 {
        sleep(Duration::from_millis(10)).await;
        assert!(
            stopped.elapsed() < Duration::from_secs(10),
            "it is not replaced"
        );
    }
    let replaced = stopped.elapsed();
    println!("replaced after {replaced:?}");
    assert!(replaced < Duration::from_secs(2), "{replaced:?}");
    let mut expired = 0;
    while let Some(caller) = callers.join_next().await {
        expired += caller.unwrap();
    }
    // Each caller had at most one call with it: none went there later.
    assert!((1..=CALLERS).contains(&expired), "{expired}");
    while fleet.pids().contains(&victim) {
        sleep(Duration::from_millis(10)).await;
        assert!(stopped.elapsed() < Duration::from_secs(20), "it stays");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_when_all_processes_have() {
    let fleet = Fleet::started(
        |_| plugin().with_stop_within(Duration::from_millis(200)),
        |it| it,
    )
    .await;
    for pid in fleet.pids() {
        signal(pid, Signal::STOP);
    }
    let drained = fleet.instances.drain(Duration::from_millis(100)).await;
    drained.expect("no call had to be broken off");
    assert_eq!(fleet.pids(), [0; 0]);
    assert_eq!(started_with(fleet.dir.path()), [0; 0]);
}
