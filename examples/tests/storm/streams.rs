//! Streams through the whole of it.

use std::time::Duration;

use mainstay_examples::trial_proto::Chunk;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::fleet::Fleet;

const CHUNK: usize = 64 << 10;
/// A gibibyte.
const CHUNKS: usize = 1 << 14;
const GROWS_BY: u64 = 32 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_both_ways_takes_no_memory() {
    let fleet = Fleet::new().await;
    // What there is once and for all.
    echo(&fleet, CHUNKS / 64).await;
    let before = resident();
    let most = highest_until(echo(&fleet, CHUNKS), before).await;
    println!("grew by {} KiB", (most - before) >> 10);
    assert!(most - before < GROWS_BY, "{} MiB", (most - before) >> 20);
    assert_eq!(fleet.stack.snapshot().requests_kept, 0);
    fleet.end().await;
}

/// How much there was in memory at most until a future was done.
async fn highest_until(future: impl Future<Output = ()>, mut most: u64) -> u64 {
    let mut future = std::pin::pin!(future);
    while timeout(Duration::from_millis(50), &mut future)
        .await
        .is_err()
    {
        most = most.max(resident());
    }
    most
}

async fn echo(fleet: &Fleet, chunks: usize) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let sending = tokio::spawn(async move {
        for _ in 0..chunks {
            let content = vec![7; CHUNK];
            sender.send(Chunk { content }).await.unwrap();
        }
    });
    let answer = fleet.client().echo(ReceiverStream::new(receiver)).await;
    let mut stream = answer.unwrap().into_inner();
    let mut received = 0;
    while let Some(chunk) = stream.next().await {
        assert_eq!(chunk.unwrap().content.len(), CHUNK);
        received += 1;
    }
    sending.await.unwrap();
    assert_eq!(received, chunks);
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}
