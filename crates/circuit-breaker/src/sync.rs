//! What the model check replaces by its own.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use mainstay_striped::Striped;
pub(crate) use tokio::sync::{Notify, futures::Notified};
