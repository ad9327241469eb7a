//! What the files that a model checks lean on; the model has its own in its place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use mainstay_striped::Striped;
