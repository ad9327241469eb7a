//! Plugins that are killed, stopped and broken under load, and what their callers notice.
//!
//! Built for release they take as long as it takes to be sure, else a tenth of that.
#![allow(clippy::unwrap_used)]

mod fleet;
#[cfg(feature = "peers")]
mod go;
mod kills;
mod leftovers;
mod outage;
mod restarts;
#[path = "../it/started.rs"]
mod started;
mod stopped;
mod streams;
