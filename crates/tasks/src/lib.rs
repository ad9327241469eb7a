//! Named background tasks that are stopped, awaited and reported on, and the end of a process in good order.
//!
//! A task that is only spawned is easily lost: nobody sees it fail, and nobody can wait for its end.
//! [`Tasks`] knows each by its name, **at most one alive for a name**, and remembers how the last ended.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_tasks::{Outcome, Tasks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = Tasks::new();
//! tasks.start("metrics", async |stopping| {
//!     stopping.cancelled().await;
//!     Ok(())
//! })?;
//! assert!(tasks.start("metrics", async |_| Ok(())).is_err());
//!
//! let outcome = tasks.stop("metrics", Duration::from_secs(5)).await?;
//! assert!(matches!(outcome, Outcome::Completed));
//! # Ok(()) }
//! ```
//!
//! [`TaskGroup`] is for tasks that belong together: all complete, or the first failure ends them all. So do
//! the futures of a [`LocalGroup`], which are not spawned and may borrow.
//! [`Supervision`] says when a task is run again.
//! A [`Resource`] is released whatever happens to its holder.
//! [`Shutdown`] ends a process in good order at a signal, phase by phase, and says who did not end in time.
//!
//! # Clone
//! Clones of [`Tasks`] share the tasks, those of [`Shutdown`] are the same shutdown. Dropping the last one
//! stops nothing: call [`Tasks::shutdown`] or [`Shutdown::run`].
//!
//! # Cancel safety
//! A dropped [`Tasks::stop`], [`Tasks::replace`], [`Tasks::shutdown`] or [`Shutdown::run`] loses no task:
//! what was asked to stop stays asked and listed, and is aborted after the grace all the same. Of a dropped
//! [`Tasks::replace`] the new task is not started. Dropped groups leave nothing running, dropped resources
//! are released.
//!
//! # Errors and panics
//! Errors and panics of a task are its [`Outcome`] and a `tracing` event at `warn`, at `error` if it was
//! supervised and is given up; its name is free again. Panics of a group's members go on in whoever waits
//! for the group. Starting a task panics outside of a tokio runtime.

mod ending;
mod group;
mod local_group;
mod outcome;
mod periodic;
mod phase;
mod registry;
mod resource;
mod run;
mod run_phases;
mod shutdown;
mod shutdown_report;
mod signals;
mod supervise;
mod supervision;
mod sync;
mod tasks;
#[cfg(test)]
mod tests;
mod work;

pub use group::TaskGroup;
pub use local_group::LocalGroup;
pub use outcome::{Ended, NotRunning, Outcome, Report, StartError, State, Status};
pub use periodic::{InvalidPeriod, Period};
pub use phase::Phase;
pub use resource::Resource;
pub use shutdown::Shutdown;
pub use shutdown_report::{Cause, PhaseReport, ShutdownReport};
pub use supervision::{InvalidRestartLimit, Restart, RestartLimit, Supervision};
pub use tasks::Tasks;
pub use work::Work;

/// The error of a task.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
