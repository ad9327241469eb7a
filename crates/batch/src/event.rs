//! What a batcher tells the log.

use tracing::{Level, Span, debug, debug_span, info, level_enabled, trace};

use crate::error::BatchFailed;

/// The span of a batch: that of no caller, and it follows from those of all its items.
pub(crate) fn batch<'a>(
    batcher: Option<&str>,
    items: usize,
    callers: impl IntoIterator<Item = &'a Span>,
) -> Span {
    let span = debug_span!(parent: None, "batch", batcher, items);
    for caller in callers {
        span.follows_from(caller);
    }
    trace!(parent: &span, batcher, items, "batch sent");
    span
}

/// The span of the caller, where there will be one of its batch.
pub(crate) fn caller() -> Option<Span> {
    if !level_enabled!(Level::DEBUG) {
        return None;
    }
    Some(Span::current()).filter(|it| !it.is_none())
}

pub(crate) fn failed(batcher: Option<&str>, items: usize, failed: &BatchFailed) {
    debug!(batcher, items, cause = %failed.cause(), "batch failed");
}

pub(crate) fn broken(batcher: Option<&str>, failed: &BatchFailed) {
    info!(batcher, cause = %failed.cause(), "service broken");
}

pub(crate) fn flushed(batcher: Option<&str>, waiting: usize) {
    debug!(batcher, waiting, "batcher flushed");
}

pub(crate) fn closed(batcher: Option<&str>, waiting: usize, in_flight: usize) {
    info!(batcher, waiting, in_flight, "batcher closed");
}

/// So many items were left without an answer but that it is closed.
pub(crate) fn ended(batcher: Option<&str>, abandoned: usize) {
    match abandoned {
        0 => debug!(batcher, "batcher ended"),
        _ => info!(batcher, abandoned, "batcher ended early"),
    }
}
