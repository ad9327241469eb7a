//! What a cache tells the log.

use tracing::{debug, trace};

use crate::LoadFailed;

pub(crate) fn failed(cache: Option<&str>, failed: &LoadFailed) {
    debug!(cache, cause = %failed.cause(), "load failed");
}

pub(crate) fn removed(cache: Option<&str>, entries: usize) {
    if entries > 0 {
        trace!(cache, entries, "entries removed");
    }
}

pub(crate) fn swept(cache: Option<&str>) {
    trace!(cache, "swept");
}

pub(crate) fn invalidated(cache: Option<&str>, what: &'static str) {
    debug!(cache, what, "invalidated");
}
