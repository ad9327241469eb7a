//! Lend connections fairly and keep them healthy: a pool for tower connectors.
mod backoff;
#[cfg(feature = "http-body")]
mod body;
mod book;
#[cfg(test)]
#[path = "book/tests.rs"]
mod book_tests;
mod checkout;
mod connection;
mod desk;
mod dispatch;
mod error;
mod housekeeper;
mod in_flight;
mod lanes;
mod layer;
mod lease;
mod lending;
mod limits;
mod pool;
mod response;
mod snapshot;
mod sync;
mod times;

/// Futures of the services.
pub mod future {
    pub use crate::checkout::{Checkout, CheckoutResponse};
    pub use crate::response::{KeyedResponseFuture, ResponseFuture};
}

pub use backoff::{Backoff, InvalidBackoff};
#[cfg(feature = "http-body")]
pub use body::{LentBody, Read};
pub use connection::Connection;
pub use dispatch::{Dispatch, DispatchBy};
pub use error::{
    AcquireError, BackendDown, Closed, ConnectAborted, ConnectTimedOut, NotDrained, Sizes, TimedOut,
};
pub use in_flight::{Answered, Serves, Until};
pub use layer::PoolLayer;
pub use lease::Lease;
pub use lending::{Lending, Shared, Whole};
pub use limits::{InvalidLimits, KeyedLimits, Limits};
pub use pool::Pool;
pub use snapshot::{CloseReason, Snapshot};
pub use times::{InvalidTimes, Times};
