//! What a batcher tells the log.

use tracing::{debug, info, trace};

use crate::error::BatchFailed;

pub(crate) fn sent(batcher: Option<&str>, items: usize) {
    trace!(batcher, items, "batch sent");
}

pub(crate) fn failed(batcher: Option<&str>, items: usize, failed: &BatchFailed) {
    debug!(batcher, items, cause = %failed.cause(), "batch failed");
}

pub(crate) fn broken(batcher: Option<&str>, failed: &BatchFailed) {
    info!(batcher, cause = %failed.cause(), "service broken");
}
