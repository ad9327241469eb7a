//! Resilience for gRPC services, and for go-plugin compatible plugins.
//!
//! What is public as yet is what a stack must be told about the methods that are called through it:
//! their shapes, and which of them can be called again. The rest is what the stack stands on.
//!
//! ```
//! use mainstay::{Method, Methods};
//!
//! let methods = Methods::new()
//!     .with_method("shop.v1.Cart/Add", Method::unary())
//!     .with_method("shop.v1.Cart/Get", Method::unary().idempotent());
//!
//! assert!(methods.get("/shop.v1.Cart/Get").is_idempotent());
//! assert!(!methods.get("/shop.v1.Cart/Add").is_idempotent());
//! // Nothing is assumed of what is not known.
//! assert_eq!(methods.get("/shop.v1.Cart/List"), Method::UNKNOWN);
//! ```

mod body;
mod cause;
mod connection;
mod deadline;
#[cfg(test)]
mod end_to_end;
mod instances;
mod judge;
mod limit;
mod method;
mod outcome;
#[cfg(test)]
mod peer;
mod refusal;
mod snapshot;
mod stack;
mod status;

pub use cause::{find_cause, is_caused_by};
pub use deadline::Expired;
pub use instances::{
    InstanceBody, InstanceCall, InstanceSnapshot, Instances, InstancesSnapshot, Supervisor,
};
pub use limit::{ConcurrencyLimit, Full};
pub use method::{InvalidDescriptors, Method, Methods};
pub use snapshot::Snapshot;
pub use stack::{Call, Calls, Stack, Stacked};

pub use mainstay_circuit_breaker as circuit_breaker;
pub use mainstay_conn_pool as conn_pool;
pub use mainstay_plugin as plugin;
pub use mainstay_retry_backoff as retry_backoff;
