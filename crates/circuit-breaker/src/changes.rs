use std::{pin::pin, sync::Weak};

use crate::{
    Change,
    memory::{Owner, Shared},
};

/// The changes of a circuit's state, in their order, from the moment it was asked for.
///
/// Each follower sees every change, unless it falls more than 64 behind: then the oldest are lost. It
/// does not keep the circuit alive, and what it has not seen by then is lost as well.
pub struct Changes {
    owner: Weak<Owner>,
    shared: &'static Shared,
    seen: u64,
}

impl Changes {
    pub(crate) const fn new(owner: Weak<Owner>, shared: &'static Shared, seen: u64) -> Self {
        Self {
            owner,
            shared,
            seen,
        }
    }

    /// The next change; nothing when the circuit and its services are gone.
    ///
    /// Time alone changes nothing: an open circuit becomes half-open when a call comes.
    ///
    /// # Cancel safety
    /// A change that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let moved = pin!(self.shared.moved.notified());
            // Not longer than for this look, or it would be us who keep it alive.
            let owner = self.owner.upgrade()?;
            let next = self.shared.ask(|machine| machine.change_after(self.seen));
            drop(owner);
            if let Some((change, number)) = next {
                self.seen = number;
                return Some(change);
            }
            moved.await;
        }
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
