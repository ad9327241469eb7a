//! What the model check replaces by its own.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::{
    spawn,
    task::AbortHandle,
    time::{sleep, timeout_at},
};
