//! Whether it pays to wait for more.

use std::time::Duration;

use tokio::time::Instant;

/// What came since a batch was sent not long ago, and whether waiting has paid.
///
/// A batch that could be sent waits for more only if, as things went just now, it would be full
/// before its linger is over, and if there were ever so many items with us at once that those who
/// have been answered are not the only ones to come back. After a wait in vain that is not tried
/// again for a while, and for twice as long each time: what may be lost is one linger in a thousand.
#[derive(Debug)]
pub(crate) struct Load {
    linger: Duration,
    full: usize,
    since: Option<Instant>,
    /// Items since then.
    accepted: usize,
    /// The most that were not answered at once.
    most: usize,
    lingers: bool,
    /// Waits in vain, one after the other.
    vain: u32,
    /// For so many times it is not tried.
    skip: u32,
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
            vain: 0,
            skip: 0,
        }
    }

    /// An item came, and so many are not answered.
    pub(crate) fn accepted(&mut self, unanswered: usize) {
        self.accepted += 1;
        self.most = self.most.max(unanswered);
    }

    /// A batch is sent.
    pub(crate) fn sent(&mut self, is_full: bool, now: Instant) {
        if self.lingers && !is_full {
            self.lingers = false;
            self.skip = 1 << self.vain;
            self.vain = (self.vain + 1).min(10);
        } else if self.lingers {
            self.vain = 0;
        }
        let Some(since) = self.since else {
            self.begin(now);
            return;
        };
        let passed = now - since;
        // Full batches that follow each other at once say nothing about the rate.
        if self.accepted < self.full && passed < self.linger {
            return;
        }
        let would_come = self.linger.as_nanos() * self.accepted as u128;
        let fills = would_come >= passed.as_nanos().saturating_mul(self.full as u128);
        self.lingers = fills && self.most >= self.full && self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        self.begin(now);
    }

    const fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.accepted = 0;
    }

    pub(crate) const fn lingers(&self) -> bool {
        self.lingers
    }
}
