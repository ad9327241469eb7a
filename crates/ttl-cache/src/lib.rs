//! Answer from memory while the answer is fresh, with one load per key: a cache for tower services.

#![allow(dead_code)]

mod cache;
mod calendar;
mod call;
mod clock;
mod desk;
mod error;
mod event;
mod flight;
mod flying;
pub mod future;
mod keep;
mod layer;
mod limits;
mod name;
mod panicked;
mod record;
mod service;
mod shared;
mod snapshot;
mod store;
mod sweeper;
mod sync;
mod tags;
mod tally;
#[cfg(test)]
mod tests;
mod tick;
mod ttl;
mod windows;

pub use cache::TtlCache;
pub use error::{LoadFailed, RefreshTimedOut};
pub use keep::{Keep, KeepErrors, Retention};
pub use layer::CacheLayer;
pub use limits::{InvalidLimits, Limits};
pub use name::Name;
pub use panicked::Panicked;
pub use service::Cache;
pub use snapshot::Snapshot;
pub use ttl::{InvalidTtl, Ttl};

/// The error of tower's layers that can fail in several ways.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
