use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Trouble;
use super::{Book, Effects, Lend};
use crate::error::ShortLived;

/// What ends by itself when it has hardly begun (a process that fails at its start, a server that
/// turns away) mostly does so within this; and one restart in it is no storm.
const SOUND_AFTER: Duration = Duration::from_secs(1);

/// One that ended within `SOUND_AFTER` may be found out by the sweep after that.
const YOUNG: Duration = Duration::from_secs(2);

impl<R: Lend> Book<R> {
    /// A connection was good just now.
    pub(super) fn seen_good(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
        if now.saturating_duration_since(self.slots[id].born) >= SOUND_AFTER {
            self.prove(id, fx);
        }
    }

    /// A connection was of use, or has lived for a while: what it was made after is over.
    pub(super) fn prove(&mut self, id: u32, fx: &mut Effects<R>) {
        let slot = &mut self.slots[id];
        slot.proven = true;
        let (lane, born) = (slot.lane, slot.born);
        let it = &mut self.lanes[lane];
        let is_since = |trouble: &mut Trouble| born >= trouble.at;
        if it.failing.is_none()
            && let Some(trouble) = it.trouble.take_if(is_since)
            && trouble.failed
        {
            self.recovered.push(lane);
            fx.poke = true;
        }
    }

    /// A connection turned out to be broken. One that never was good has come to nothing: the first
    /// is replaced at once, and those made after that count as failures to connect.
    pub(super) fn mourn(&mut self, id: u32, now: Instant, fx: &mut Effects<R>) {
        let slot = &self.slots[id];
        let (lane, born) = (slot.lane, slot.born);
        if slot.proven || self.closed {
            return;
        }
        let lived = now.saturating_duration_since(born);
        if lived >= YOUNG {
            return self.prove(id, fx);
        }
        let trouble = &mut self.lanes[lane].trouble;
        match trouble {
            None => {
                *trouble = Some(Trouble {
                    at: now,
                    failed: false,
                });
            }
            Some(trouble) if trouble.at < born => {
                self.fail(lane, born, Arc::new(ShortLived { lived }), now, fx);
            }
            // It broke with the one that we know of.
            Some(_) => {}
        }
    }
}
