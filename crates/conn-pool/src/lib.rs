//! Lend connections fairly and keep them healthy: a pool for tower connectors.
//!
//! For whatever is dear to make and can be used again: connections to a database, to an HTTP server,
//! or processes that serve many calls at once. What makes them is a `tower` service, so that it can be
//! timed out or retried like any other; a [`PoolLayer`] round it is the [`Pool`]. What a connection
//! says of itself is a [`Connection`].
//!
//! **Every connection is in exactly one state, and those idle, lent, connecting and closing together
//! never exceed the maximum.** One that is shared and did not drain in
//! time is aborted and is not the pool's any more, though somebody may still hold it.
//!
//! ```
//! use std::num::NonZeroU32;
//! use mainstay_conn_pool::{AcquireError, Connection, Limits, PoolLayer};
//! use tower::{Layer, service_fn};
//!
//! struct Session(Vec<u8>);
//! impl Connection for Session {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let limits = Limits::new(NonZeroU32::new(10).unwrap());
//! let pool = PoolLayer::new(limits).layer(service_fn(async |()| Ok::<_, String>(Session(vec![]))));
//! let mut session = pool.acquire().await.unwrap();
//! session.0.push(1);
//! drop(session); // It is given back, and lent again to the next.
//! assert_eq!(pool.acquire().await.unwrap().0, [1]);
//!
//! let down = service_fn(async |()| Err::<Session, _>("wrong password"));
//! let pool = PoolLayer::new(limits).with_name("db").layer(down);
//! let Err(AcquireError::BackendDown(error)) = pool.acquire().await else { panic!() };
//! assert!(error.to_string().starts_with("backend of db is down, next try in"));
//! assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "wrong password");
//! # }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Limits::new`]: connections in all | needed |
//! | [`Limits::with_min_size`]: kept whether asked for or not | 0 |
//! | [`Limits::with_max_connecting`]: made at a time | all |
//! | [`KeyedLimits`]: in all and to each of many targets | 100, 30 |
//! | [`PoolLayer::shared`]: lent to many at once | to one |
//! | [`PoolLayer::with_times`]: [`Times`] | wait 5 s, idle 10 min, live 30 min, ... |
//! | [`PoolLayer::with_backoff`]: between failed connects | up to 100 ms, doubling up to 5 s |
//! | [`PoolLayer::with_name`]: in events and refusals | none |
//!
//! Callers are served in the order in which they came; nobody overtakes, and one who gives up hands on
//! what it was given. The connection given back last is lent first. Only one that idled is checked
//! first; when it is dead, all idle ones are checked at once and a new one is made meanwhile. While
//! connecting fails and nothing is left to lend, one try follows another after a delay, and callers
//! are told the cause, at the latest after a second.
//! What breaks as soon as it is made is replaced once without a delay, and counts as a failure after
//! that; what breaks while nobody has it is found out within a second.
//!
//! # Clone
//! Clones of a [`Pool`] share its connections; with the last of them the pool is closed.
//!
//! # Cancel safety
//! Whatever is dropped, at whatever time, no connection is lost and no place; connections are made and
//! checked in tasks of their own, which go on. One whose request was dropped half-way is not lent
//! again, unless it can be [reused](Connection::is_reusable).
//!
//! # Readiness
//! A [`Pool`] is always ready, as is [`DispatchBy`]; a [`Dispatch`] is when it has a connection.
//!
//! # Errors
//! The services fail with a boxed [`TimedOut`], [`BackendDown`] or [`Closed`]; [`Pool::acquire`] with
//! one of these in an [`AcquireError`], which can be matched: nothing is nested in it.
//!
//! # Panics
//! [`PoolLayer`] needs a tokio runtime, and [`Dispatch`] to be ready when it is called. A connector
//! that panics has failed. Giving back never panics and needs no runtime.

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
mod guards;
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
    AcquireError, BackendDown, Closed, ConnectAborted, ConnectTimedOut, NotDrained, ShortLived,
    Sizes, TimedOut,
};
pub use in_flight::{Answered, Serves, Until};
pub use layer::PoolLayer;
pub use lease::Lease;
pub use lending::{Lending, Shared, Whole};
pub use limits::{InvalidLimits, KeyedLimits, Limits};
pub use pool::Pool;
pub use snapshot::{CloseReason, Snapshot};
pub use times::{InvalidTimes, Times};
