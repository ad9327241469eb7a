use std::{
    hash::Hash,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio::sync::Semaphore;

use crate::{BoxError, Closed, Limits, Name, shared::Shared};

/// What the services and futures of a batcher share. When it goes, nobody is left to submit.
pub(crate) struct Callers<Req, Resp, K: Hash + Eq + Clone> {
    pub(crate) shared: Arc<Shared<Req, Resp, K>>,
    /// For items that wait. One is taken before an item is submitted, and given back when it is sent
    /// or withdrawn.
    pub(crate) places: Arc<Semaphore>,
    /// How many services there are, beside the futures.
    pub(crate) services: AtomicUsize,
    pub(crate) limits: Limits,
    pub(crate) name: Option<Name>,
}

impl<Req, Resp, K: Hash + Eq + Clone> Callers<Req, Resp, K> {
    /// Why nothing is accepted any more.
    pub(crate) fn refusal(&self) -> BoxError {
        match self.shared.broken() {
            Some(failed) => failed.into(),
            None => Closed::new().into(),
        }
    }
}

impl<Req, Resp, K: Hash + Eq + Clone> Drop for Callers<Req, Resp, K> {
    fn drop(&mut self) {
        self.shared.desert();
    }
}
