//! What the model check replaces by its own.

pub(crate) use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

pub(crate) use parking_lot::Mutex;
