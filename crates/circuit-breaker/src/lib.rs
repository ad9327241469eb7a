//! When a service fails, stop calling it for a while: a circuit breaker for tower services.
//!
//! A service that is down, or too slow, costs its callers their time and gets no better by being
//! called. A circuit breaker watches the outcomes; when too many are bad it opens, and refuses calls
//! at once, with the reason and how long to wait. After a while it lets a few calls through, and
//! closes if they succeed. Put it around whatever can fail as a whole: a host, a data base, a plugin.
//!
//! **A call decides only in the state that admitted it, and exactly once**: a late answer neither
//! closes nor opens a circuit, and a call that is dropped gives back what it took.
//!
//! ```
//! use mainstay_circuit_breaker::{CircuitBreakerLayer, ConsecutiveFailures, Open, Rules};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = Rules::new(ConsecutiveFailures::new(2)?).with_name("users");
//! let service = ServiceBuilder::new()
//!     .layer(CircuitBreakerLayer::new(rules))
//!     .service_fn(async |_: &str| Err::<(), _>("connection refused"));
//!
//! for _ in 0..2 {
//!     let error = service.clone().oneshot("alice").await.unwrap_err();
//!     assert_eq!(error.to_string(), "connection refused");
//! }
//! // The third call is not made.
//! let error = service.oneshot("alice").await.unwrap_err();
//! let open = error.downcast_ref::<Open>().expect("a refusal");
//! assert_eq!(open.name(), Some("users"));
//! assert!(open.retry_after().is_some());
//! # Ok(()) }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Rules::new`], [`Rules::or`]: [`ConsecutiveFailures`], [`FailureRate`], [`SlowCallRate`] | none: what opens it is yours to say |
//! | [`Rules::with_open_time`]: how long it is open | 5 s, doubled up to 60 s, less up to a fifth |
//! | [`Rules::with_half_open`]: what closes it | one probe, written off after 60 s |
//! | [`CircuitBreakerLayer::with_classify`]: what a result says | errors are failures |
//! | [`CircuitBreakerLayer::with_deadline`]: when a dropped call is a failure | never |
//! | [`CircuitBreakerLayer::pending_while_open`]: not ready while open | ready, and refuses in `call` |
//!
//! Without tower, [`Circuit::admit`] gives a [`Permit`] for a call, to be settled with its outcome.
//! [`KeyedCircuitBreakerLayer`] has a circuit for each key. Changes of state are `tracing` events at
//! `info`, in their order, and refusals at `debug`; [`Circuit::snapshot`] has the numbers, and
//! [`Circuit::changes`] follows.
//!
//! # Clone
//! Clones of a service, and all services of one layer, share the circuit. A clone is not ready. The
//! memory of a circuit that is gone is kept, and used for the next with windows of the same shapes.
//!
//! # Readiness
//! While the circuit is open the inner service is not polled. Readiness takes nothing: the circuit has
//! the last word in `call`, so a service that was ready can refuse; what its inner service had reserved
//! by getting ready stays reserved then. An error of the inner `poll_ready` is judged as that of a call.
//!
//! # Cancel safety
//! A dropped response gives its probe back, and counts for nothing, unless it is known to be a failure:
//! a rule looks for slow calls and this one was slow, or its deadline had passed.
//!
//! # Errors and panics
//! Errors of the inner service pass unchanged into a [`BoxError`]; [`Open`] is the only one added. A
//! panic of the inner service is a failure, and goes on. `call` panics if the service is not ready.

// How it hangs together, from the outside in: a `layer` makes a `service`, whose `future` holds a
// `permit` of a `circuit`. That is a `gate` (in `memory` that is never freed): one `word` that calls
// read without a lock and get a `pass` from, `meter`s in whose `cells` good calls are counted, and
// under a lock the `machine` that decides, with a `tally` for each rule, over a `call_window` or a
// `time_window`.

mod call_window;
mod cells;
mod chance;
mod changes;
mod circuit;
mod classify;
mod clock;
mod deadline;
mod event;
mod event_queue;
pub mod future;
mod gate;
mod half_open;
mod keyed;
mod layer;
mod machine;
mod memory;
mod meter;
mod name;
mod open;
mod open_time;
mod pass;
mod permit;
mod rule;
mod rules;
mod service;
mod snapshot;
mod state;
mod sync;
mod tally;
#[cfg(test)]
mod tests;
mod time_window;
mod waiting;
mod window;
mod word;

pub use changes::Changes;
pub use circuit::Circuit;
pub use classify::{Classify, ErrorsFail, Failure, Verdict};
pub use deadline::{Deadline, NoDeadline};
pub use half_open::{HalfOpen, InvalidHalfOpen};
pub use keyed::{
    Circuits, InvalidKeyLimits, KeyLimits, KeyedCircuitBreaker, KeyedCircuitBreakerLayer,
};
pub use layer::CircuitBreakerLayer;
pub use name::Name;
pub use open::Open;
pub use open_time::{InvalidOpenTime, OpenTime};
pub use permit::Permit;
pub use rule::{ConsecutiveFailures, FailureRate, InvalidRule, Rule, SlowCallRate};
pub use rules::Rules;
pub use service::CircuitBreaker;
pub use snapshot::{RuleSnapshot, Snapshot};
pub use state::{Change, Reason, State};
pub use window::Window;

/// The error of tower's layers that can fail in several ways.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
