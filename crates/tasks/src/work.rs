use std::fmt;

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::Shutdown;

/// Work in flight: the drain of a shutdown waits until it is dropped.
#[must_use = "work that is dropped is not waited for"]
pub struct Work {
    pub(crate) shutdown: Shutdown,
    pub(crate) _token: TaskTrackerToken,
}

impl Work {
    /// Completes when the time for the drain is over, or the shutdown is forced: this work is to end now,
    /// and is given a second for it.
    pub async fn overdue(&self) {
        self.shutdown.overdue().cancelled().await;
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}
