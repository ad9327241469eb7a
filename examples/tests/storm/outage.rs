//! No instance runs, and none can be started, for a while.

use std::path::Path;
use std::time::Duration;

use mainstay::conn_pool::{BackendDown, Backoff};
use mainstay::is_caused_by;
use mainstay_examples::trial_proto::{ReadRequest, WriteRequest};
use mainstay_plugin::Launcher;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Code;

use crate::fleet::{Fleet, PLUGIN, launcher, signal};

const CALLERS: u64 = 16;
const OUTAGE: Duration = Duration::from_secs(5);
/// How long a call may wait for an instance.
const BOUND: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// A start, on a machine that has a lot else to do.
const START: Duration = Duration::from_secs(1);
/// A caller's pause, so that there are not only refusals in the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// A call of the outage.
#[derive(Clone, Copy, Debug)]
struct Refused {
    begun: Instant,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_fast_while_nothing_can_be_started_and_work_again_soon_after() {
    let backoff = Backoff::new(Duration::from_millis(50), LONGEST_DELAY).unwrap();
    let fleet = Fleet::started(licensed, |it| it.with_backoff(backoff)).await;
    let licence = fleet.dir.path().join("licence");
    let begun = Instant::now();
    let end = begun + OUTAGE + LONGEST_DELAY + 2 * START;

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = fleet.client();
        callers.spawn(async move {
            let mut refused = Vec::new();
            let mut id = caller << 32;
            while Instant::now() < end {
                let begun = Instant::now();
                id += 1;
                let request = WriteRequest {
                    id,
                    ..WriteRequest::default()
                };
                let status = match caller % 2 {
                    0 => client.read(ReadRequest::default()).await.err(),
                    _ => client.write(request).await.err(),
                };
                if let Some(status) = status {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    if is_caused_by::<BackendDown>(&status) {
                        assert!(status.message().contains("no licence"), "{status:?}");
                        assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
                        let took = begun.elapsed();
                        refused.push(Refused { begun, took });
                    }
                }
                sleep(PAUSE).await;
            }
            refused
        });
    }
    sleep(Duration::from_millis(200)).await;
    let before = fleet.stack.snapshot().calls;
    std::fs::remove_file(&licence).unwrap();
    let down = Instant::now();
    for pid in fleet.pids() {
        signal(pid, Signal::KILL);
    }
    sleep_until(down + OUTAGE).await;
    let during = fleet.stack.snapshot().calls;
    std::fs::write(&licence, "").unwrap();
    let mended = Instant::now();

    let mut refused = Vec::new();
    while let Some(caller) = callers.join_next().await {
        refused.extend(caller.unwrap());
    }
    let last = refused.iter().map(|it| it.begun + it.took).max().unwrap();
    let resumed = last.saturating_duration_since(mended);
    assert!(
        resumed < LONGEST_DELAY + START,
        "it took {resumed:?} until no call failed"
    );

    let longest = refused.iter().map(|it| it.took).max().unwrap();
    assert!(
        longest < BOUND + Duration::from_millis(500),
        "one waited for {longest:?}"
    );
    let mut late: Vec<_> = refused
        .iter()
        .filter(|it| it.begun > down + BOUND && it.begun < mended)
        .map(|it| it.took)
        .collect();
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    println!(
        "{} refused, p99 {p99:?}, longest {longest:?}, resumed after {resumed:?}",
        refused.len()
    );
    assert!(p99 < Duration::from_millis(5), "{p99:?}");

    let ended = |calls: mainstay::Calls| calls.succeeded + calls.failed;
    let calls = ended(during) - ended(before);
    let attempts = (during.attempts - before.attempts) as f64 / calls as f64;
    assert!(
        attempts <= 1.05,
        "{attempts} attempts for each of {calls} calls"
    );
    fleet.end().await;
}

/// Starts the plugin only while there is a licence.
fn licensed(dir: &Path) -> Launcher {
    let licence = dir.join("licence");
    std::fs::write(&licence, "").unwrap();
    let script = format!(
        "if test -e {}; then exec {PLUGIN}; else echo no licence >&2; exit 3; fi",
        licence.display(),
    );
    launcher("/bin/sh")
        .with_argument("-c")
        .with_argument(script)
}
