//! Answer from memory while the answer is fresh, with one load per key: a cache for tower services.
//!
//! What many ask for and what changes seldom need not be asked for each time. A [`CacheLayer`] answers
//! from a [`TtlCache`] what it has, and calls the service for what it has not, once for all who ask at the
//! same time; without tower, [`TtlCache::get_or_load`] does so. Old answers can bridge the time of a
//! refresh, or an outage. The store, which decides what goes when there is no room, is `quick_cache`.
//!
//! **No answer is given that is older than its time allows or was loaded before an invalidation that
//! is over, and who waits for a load gets its outcome, whatever becomes of the others who wait.**
//!
//! ```
//! use std::{borrow::Cow, time::Duration};
//!
//! use mainstay_ttl_cache::{CacheLayer, Limits, Ttl, TtlCache};
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let ttl = Ttl::new(Duration::from_secs(60))?
//!     .with_stale_while_revalidate(Duration::from_secs(60))
//!     .with_stale_if_error(Duration::from_secs(3600));
//! let cache = TtlCache::named("users", Limits::new(10_000)?, ttl);
//! let users = ServiceBuilder::new()
//!     .layer(CacheLayer::new(cache.clone(), |name: &String| Some(Cow::Borrowed(name.as_str()))))
//!     .service_fn(async |name: String| Ok::<_, BoxError>(format!("the record of {name}")));
//!
//! for _ in 0..3 {
//!     let user = users.clone().oneshot("alice".into()).await?;
//!     assert_eq!(user, "the record of alice");
//! }
//! assert_eq!((cache.snapshot().loaded, cache.snapshot().hits), (1, 2));
//!
//! assert!(cache.invalidate("alice"));
//! assert_eq!(cache.get("alice"), None);
//! # Ok(()) }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Limits`]: entries, their weight, how loads run | as much weight as entries; callers run the loads |
//! | [`Ttl`]: how long an answer is fresh, and may be given when it is not; jitter, early refresh | nothing stale is given |
//! | [`Retention`]: which answers are kept, for how long, with which weight and tags | all, by one [`Ttl`] |
//! | [`KeepErrors`]: which errors are kept | none |
//! | [`CacheLayer::new`]: the key of a request, or none | it is yours to say |
//! | [`TtlCache::keep_time`]: a clock that is cheap to look at | the system's |
//!
//! The layer's key has to have in it whatever the answer depends on; who asks, too, if not all may have
//! it. [`TtlCache::snapshot`] has the numbers; failed loads and invalidations are `tracing` events at
//! `debug`.
//!
//! # Clone
//! Clones of a service, of a layer and of a [`TtlCache`] share the cache. Each load calls a clone of the
//! inner service.
//!
//! # Readiness
//! The service is always ready: an answer that is there touches no inner service, so it is given while a
//! circuit is open or a pool is empty. The service of a load is driven to readiness in the response; who
//! waits for the load of another takes neither readiness nor a permit.
//!
//! # Cancel safety
//! A load is driven by whoever of its callers is polled. One that is dropped hands over; up to seven that
//! are not polled any more stall nobody, with [`Limits::with_detached_loads`] any number. When all are
//! gone the load is dropped, or finished if it is detached.
//!
//! # Runtime
//! None is needed. Refreshes in the background and the removal of dead entries while nobody calls are tasks
//! of the tokio runtime that a caller is in, which is to have its time enabled: without, a refresh fails,
//! entries are removed only as others are added, and this is found out by a panic within the first task.
//!
//! # Errors and panics
//! A load that fails or panics is a [`LoadFailed`] to all who waited, with the cause as its source; what
//! bypasses the cache fails with its own error. No panic of a load reaches a caller.

// How it hangs together, from the outside in: a `layer` makes a `service` over a `cache`, whose handles
// have something `shared`: the `desk`, at which a miss boards a `flight`, and a `flying` load lands. The
// desk writes `record`s into the `store`, with their `windows` and `tags`, and into the `calendar`, from
// which the `sweeper` takes them when they are dead.

mod boarding;
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
mod invalidation;
mod keep;
mod keys;
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
