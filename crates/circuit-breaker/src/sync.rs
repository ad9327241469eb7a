//! What the model checks replace.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
