//! Many items through one service: bounded map, streams, request batching and a data loader.
//!
//! Single requests are cheap to make and dear to serve one by one: rows to insert, keys to look up,
//! events to send. [`BatchLayer`] gathers the requests of many callers into batches for a service
//! that takes a `Vec` of them, and gives each caller its own answer; [`Loader`] does so for keys, each
//! once. The other way round, [`map_concurrent`] works on many items of one caller, so many at once,
//! [`map_chunks`] on chunks of them, and [`Stages`] on those of a stream.
//!
//! **Every item that was accepted is answered exactly once**, and is sent in at most one batch:
//! whatever fails, panics, is dropped or shut down.
//!
//! ```
//! use mainstay_batch::{BatchLayer, Limits};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! // Counts the bytes of many texts at once; of none it is an error.
//! let service = service_fn(async |texts: Vec<&str>| {
//!     let count = |it: &str| if it.is_empty() { Err("no text") } else { Ok(it.len()) };
//!     Ok::<_, &str>(texts.into_iter().map(count).collect::<Vec<_>>())
//! });
//! let service = BatchLayer::new(Limits::new(100)?).with_name("texts").layer(service);
//!
//! let (one, two) = (service.clone().oneshot("one"), service.clone().oneshot(""));
//! let (one, two) = tokio::join!(one, two);
//! assert_eq!(one?, 3);
//! assert_eq!(two.unwrap_err().to_string(), "no text");
//! # Ok(()) }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Limits::new`]: items of a batch | yours to say |
//! | [`Limits::with_weight`], [`BatchLayer::with_weigh`]: weight of a batch | any |
//! | [`Limits::with_batches`]: batches at once | 1 |
//! | [`Limits::with_batches_per_lane`]: of one lane | all |
//! | [`Limits::with_waiting`]: items that wait to be sent | 100 batches of them |
//! | [`Limits::with_linger`]: how long a batch may wait for more, under load | 1 ms |
//! | [`BatchLayer::with_lanes`]: who may share a batch | all |
//! | [`Loader::with_memory`]: how many keys are remembered | none; 1,000 primed ones |
//! | [`Map::unordered`], [`Map::spawned`] | in order, on the caller's task |
//!
//! A batch is sent when there is room for one and the tasks that can run have had their turn, once:
//! no timer runs, a caller alone waits for nobody, and many share their batches. While there is no room
//! items gather. [`Handle`] flushes, shuts down and tells the numbers. What a batcher does are `tracing`
//! events: sent batches at `trace`, failed ones and flushes at `debug`, its end at `info`. The service
//! works within the span of the batch, at `debug`, which follows from those of the calls.
//!
//! # Clone
//! Clones of a service or a loader send into the same batches. A clone is not ready.
//!
//! # Readiness
//! A service is ready when it has a place among the items that wait; places are handed over in the
//! order of asking, and given back when it is dropped. It is not ready for ever once it was closed, or
//! the inner service's `poll_ready` failed: then `poll_ready` says so.
//!
//! # Cancel safety
//! A response that is dropped takes its item out of the batch, if that was not sent; a batch that was
//! goes on for the others, and is dropped when all its callers are gone. Dropping a map or a stage
//! drops all it works on. Dropping a load takes nothing from others who want the key.
//!
//! # Errors and panics
//! Errors of items and of batches are a [`BoxError`]. An item's own error passes unchanged; those of
//! its batch are a [`BatchFailed`], whose cause may be [`WrongLength`] or [`Panicked`]: a panic fails
//! its own batch and is not passed on. [`TooHeavy`] and [`Closed`] are refusals. A panic of an item of a
//! map is its [`ItemError`]. `call` panics if the service is not ready, and methods where it is said.

mod callers;
mod chunks;
mod collect;
mod concurrency;
mod error;
mod event;
mod flight;
mod forming;
mod function;
pub mod future;
mod handle;
mod item_error;
mod items;
mod layer;
mod limits;
mod load;
mod load_many;
mod loader;
mod map;
mod memory;
mod name;
mod outbox;
mod panicked;
mod parcel;
mod progress;
mod queue;
mod ready;
mod response;
mod service;
mod shared;
mod slots;
mod sort;
mod spawned;
mod stages;
mod sync;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

pub use concurrency::{Concurrency, InvalidConcurrency};
pub use error::{BatchFailed, Closed, TooHeavy, WrongLength};
pub use flight::LoadFailed;
pub use handle::{Abandoned, Handle, Snapshot};
pub use item_error::ItemError;
pub use layer::BatchLayer;
pub use limits::{InvalidLimits, Limits};
pub use loader::Loader;
pub use map::{Map, map_chunks, map_concurrent, map_service, map_stream};
pub use name::Name;
pub use panicked::Panicked;
pub use progress::{Progress, ProgressSnapshot};
pub use service::Batch;
pub use sort::{Lanes, OneLane, Weigh, WeighsOne};
pub use stages::Stages;
pub use worker::Worker;

/// The error of tower's layers that can fail in several ways.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
