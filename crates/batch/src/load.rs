//! Whether it pays to wait for more.

use std::time::Duration;

use tokio::time::Instant;

/// What came since a batch was sent not long ago, and whether waiting has paid.
///
/// Where batches are full because items come while others are out, there is nothing to wait for: what is
/// left over at the end would wait in vain. A batch waits for more only if those before it were not
/// full, if they would have made a full one before the linger was over, and if meanwhile there were so
/// many items with us at once that those who have been answered are not the only ones to come back.
/// After a wait in vain that is not tried again for a while, and for twice as long each time: what may
/// be lost is one linger in a thousand.
#[derive(Debug)]
pub(crate) struct Load {
    linger: Duration,
    full: usize,
    since: Option<Instant>,
    /// Items since then.
    accepted: usize,
    /// The most since then that were not answered at once.
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

    /// A batch is sent, and there may be another full one behind it.
    pub(crate) fn sent(&mut self, is_full: bool, has_more: bool, now: Instant) {
        if is_full {
            // Others that are there already say nothing about how fast more come.
            self.lingers &= !has_more;
            self.vain = if self.lingers { 0 } else { self.vain };
            self.begin(now);
            return;
        }
        if self.lingers {
            self.lingers = false;
            self.skip = 1 << self.vain;
            self.vain = (self.vain + 1).min(10);
            self.begin(now);
            return;
        }
        let Some(since) = self.since else {
            self.begin(now);
            return;
        };
        let passed = now - since;
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
        self.most = 0;
    }

    pub(crate) const fn lingers(&self) -> bool {
        self.lingers
    }
}
