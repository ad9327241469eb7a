use std::{pin::pin, sync::Weak};

use tokio::sync::Notify;

use crate::{Change, circuit::Shared, sync::Arc};

/// The changes of a circuit's state, in their order, from the moment it was asked for.
///
/// Each follower sees every change, unless it falls more than 64 behind: then the oldest are lost. It
/// does not keep the circuit alive.
pub struct Changes {
    circuit: Weak<Shared>,
    moved: Arc<Notify>,
    seen: u64,
}

impl Changes {
    pub(crate) const fn new(circuit: Weak<Shared>, moved: Arc<Notify>, seen: u64) -> Self {
        Self {
            circuit,
            moved,
            seen,
        }
    }

    /// The next change; nothing when the circuit, its services and its permits are gone.
    ///
    /// Time alone changes nothing: an open circuit becomes half-open when a call comes.
    ///
    /// # Cancel safety
    /// A change that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let moved = pin!(self.moved.notified());
            if let Some(change) = self.circuit.upgrade()?.change_after(&mut self.seen) {
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
