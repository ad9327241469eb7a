use std::time::Duration;

use tokio::time::Instant;

/// The step of tokio's clock.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A timer is late by less than this: it ends with a whole tick, which is slept for in whole ticks
/// from within another.
pub(crate) const LATE: Duration = Duration::from_millis(2);

const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Whether an attempt that is sent after this delay would not begin before the deadline.
///
/// Without a delay there is no timer, and so nothing that might be late.
pub(crate) fn is_too_late(
    deadline: Option<Instant>,
    delay: Duration,
    now: impl FnOnce() -> Instant,
) -> bool {
    let Some(deadline) = deadline else {
        return false;
    };
    let now = now();
    if delay.is_zero() {
        return now >= deadline;
    }
    let end = now.checked_add(delay).and_then(|it| it.checked_add(LATE));
    end.is_none_or(|latest| latest > deadline)
}

/// The end of a wait that begins now: so that a timer for it ends before the deadline.
pub(crate) fn end_of_wait(deadline: Option<Instant>, wait: Duration) -> Instant {
    let now = Instant::now();
    // Thirty years for what cannot be told, as tokio has it.
    let end = now.checked_add(wait).unwrap_or_else(|| now + FAR);
    let Some(deadline) = deadline else { return end };
    let last = deadline.checked_sub(LATE);
    end.min(last.unwrap_or(deadline))
}
