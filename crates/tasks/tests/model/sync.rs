//! The same as in the crate, but of shuttle.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use shuttle::{
    future::{AbortHandle, spawn},
    sync::{Mutex, MutexGuard},
};

/// What is further away does not come.
const NEVER: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct Elapsed;

/// Whether the deadline or the future comes first is up to the scheduler.
pub(crate) async fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> Result<F::Output, Elapsed> {
    let elapsed = CancellationToken::new();
    if deadline - Instant::now() < NEVER {
        let timer = elapsed.clone();
        spawn(async move { timer.cancel() });
    }
    elapsed.run_until_cancelled(future).await.ok_or(Elapsed)
}

pub(crate) async fn sleep(delay: Duration) {
    let _ = timeout_at(Instant::now() + delay, std::future::pending::<()>()).await;
}
