//! Whether it pays to wait for more.

use std::time::Duration;

use tokio::time::Instant;

/// What came since the last batch was sent.
///
/// A batch that could be sent waits for more only if, as things went just now, it would be full
/// before its linger is over, and if so many items were with us at once that those who have been
/// answered are not the only ones to come back.
#[derive(Debug)]
pub(crate) struct Load {
    linger: Duration,
    full: usize,
    since: Option<Instant>,
    accepted: usize,
    most: usize,
    lingers: bool,
}

impl Load {
    pub(crate) const fn new(linger: Duration, full: usize) -> Self {
        Self {
            linger,
            full,
            since: None,
            accepted: 0,
            most: 0,
            lingers: false,
        }
    }

    /// An item came, and so many are not answered.
    pub(crate) fn accepted(&mut self, unanswered: usize) {
        self.accepted += 1;
        self.most = self.most.max(unanswered);
    }

    /// A batch is sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        let passed = self.since.map_or(Duration::MAX, |since| now - since);
        let would_come = self.linger.as_nanos().saturating_mul(self.accepted as u128);
        let fills = would_come >= passed.as_nanos().saturating_mul(self.full as u128);
        self.lingers = fills && self.most >= self.full;
        self.since = Some(now);
        self.accepted = 0;
        self.most = 0;
    }

    pub(crate) const fn lingers(&self) -> bool {
        self.lingers
    }
}
