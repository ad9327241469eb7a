//! Every future is dropped after every number of polls; nothing may stay behind.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tokio::time::timeout;

use crate::shell::{SOON, Traced, is_gone};

/// Polls until done or `polls` times; true if done.
async fn polled(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    let poll = std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(cx).map(|_| true)
    });
    timeout(SOON, poll).await.unwrap()
}

#[tokio::test]
async fn a_launch_leaves_no_process() {
    for script in [
        "echo '1|1|unix|/s|grpc'; sleep 1000",
        "echo garbage; sleep 1000",
    ] {
        for polls in 0.. {
            let traced = Traced::new();
            let done = polled(traced.launcher(script).launch(), polls).await;
            // It may not have come to say its number, and then it had none to leave.
            assert!(traced.pid().is_none_or(is_gone), "{polls} polls");
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_stop_leaves_no_process() {
    for polls in 0.. {
        let traced = Traced::new();
        let script = "trap '' TERM; echo '1|1|unix|/s|grpc'; while :; do sleep 1; done";
        let launcher = traced
            .launcher(script)
            .with_stop_within(std::time::Duration::ZERO);
        let plugin = launcher.launch().await.unwrap();
        let pid = plugin.pid();
        let done = polled(plugin.stop(), polls).await;
        assert!(is_gone(pid), "{polls} polls");
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn a_connect_can_be_tried_again() {
    let traced = Traced::new();
    let plugin = traced.launcher("echo '1|1|unix|/s|grpc'; sleep 1000");
    let plugin = plugin.launch().await.unwrap();
    for polls in 0.. {
        if polled(plugin.connect(), polls).await {
            break;
        }
    }
    assert!(plugin.connect().await.is_err());
}
