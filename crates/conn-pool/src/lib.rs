//! Lend connections fairly and keep them healthy: a pool for tower connectors.
mod backoff;
mod book;
#[cfg(test)]
#[path = "book/tests.rs"]
mod book_tests;
mod checkout;
mod connection;
mod desk;
mod error;
mod housekeeper;
mod lanes;
mod layer;
mod lease;
mod lending;
mod limits;
mod pool;
mod snapshot;
mod sync;
mod times;

/// Futures of the services.
pub mod future {
    pub use crate::checkout::{Checkout, CheckoutResponse};
}

pub use backoff::{Backoff, InvalidBackoff};
pub use connection::Connection;
pub use error::{
    AcquireError, BackendDown, Closed, ConnectAborted, ConnectTimedOut, NotDrained, Sizes, TimedOut,
};
pub use layer::PoolLayer;
pub use lease::Lease;
pub use lending::{Lending, Shared, Whole};
pub use limits::{InvalidLimits, KeyedLimits, Limits};
pub use pool::Pool;
pub use snapshot::{CloseReason, Snapshot};
pub use times::{InvalidTimes, Times};
