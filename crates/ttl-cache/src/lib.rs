//! Answer from memory while the answer is fresh, with one load per key: a cache for tower services.

#![allow(dead_code)]

mod calendar;
mod error;
mod flight;
mod keep;
mod limits;
mod name;
mod panicked;
mod record;
mod store;
mod sync;
mod tags;
#[cfg(test)]
mod tests;
mod tick;
mod ttl;
mod windows;

pub use error::{LoadFailed, RefreshTimedOut};
pub use keep::{Keep, KeepErrors, Retention};
pub use limits::{InvalidLimits, Limits};
pub use name::Name;
pub use panicked::Panicked;
pub use ttl::{InvalidTtl, Ttl};

/// The error of tower's layers that can fail in several ways.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
