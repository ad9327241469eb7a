//! Resilience for gRPC services, and for go-plugin compatible plugins whose crashes nobody notices.
//!
//! A [`Stack`] goes around any service of gRPC requests, and generated tonic clients work on it as on a
//! channel. A [`Supervisor`] keeps [`Instances`] of a plugin running, which are such a service. On the other
//! side, a [`ServerStack`] goes around the services of a server or a plugin.
//!
//! **A call is sent again only where that is safe**: when it provably was not processed, or when its
//! [method](Methods) can be called twice.
//!
//! ```no_run
//! use std::num::NonZeroU32;
//! use mainstay::plugin::{Cookie, Launcher};
//! use mainstay::{Method, Methods, Stack, Supervisor};
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let launcher = Launcher::new("./plugin", Cookie::new("BASIC_PLUGIN", "hello")?, 1).with_auto_mtls();
//! let instances = Supervisor::new(launcher, NonZeroU32::new(2).unwrap()).with_name("shop").start();
//! instances.ready().await?; // or why it does not start
//!
//! let methods = Methods::new().with_method("grpc.health.v1.Health/Check", Method::unary().idempotent());
//! let mut client = HealthClient::new(Stack::new(methods).over(&instances));
//! client.check(HealthCheckRequest::default()).await?; // whatever happens to the processes meanwhile
//! # Ok(()) }
//! ```
//!
//! The layers, from the outside in, each to be left out or replaced: context and deadline, cache of answers,
//! concurrency limit, retries within a budget, (a lease of an instance,) circuit breaker, timeout of the attempt. So a
//! queue is nobody's fault: the clocks of breaker and attempt begin when there is an instance. A refusal
//! is not tried again. [`Stack`] has a table of the knobs and their defaults, [`Supervisor`] another.
//!
//! # How a call is sent again
//! Its request is recorded while it is sent, up to a limit, and nothing of it is read ahead. The answer
//! of a method that gives one message is held until its trailers are there, and then judged; any other is
//! its caller's once it has headers. Provably not processed is what was never handed to a connection, or
//! of which nothing left through it, or what the server said it did not look at.
//!
//! That a process died is no evidence against its service: neither the circuit nor the retries' budget
//! hear of it, and the next attempt goes to another instance at once. But it counts as an attempt, so
//! that a request which its plugin dies of cannot take all instances along.
//!
//! # Statuses
//! Whatever fails here is a [`tonic::Status`], with its cause as the source ([`is_caused_by`]):
//!
//! | | |
//! |---|---|
//! | a connection that cannot be made, or ended | UNAVAILABLE |
//! | an open circuit; no instance in time | UNAVAILABLE, with `grpc-retry-pushback-ms` if it is known |
//! | a full [`ConcurrencyLimit`] | RESOURCE_EXHAUSTED |
//! | a deadline, or the timeout of the last attempt | DEADLINE_EXCEEDED |
//! | an answer that ends without a status | UNKNOWN, or what its HTTP status says |
//! | a request whose own body fails | that status |
//! | a load of the [cache](AnswerCache) that panics | INTERNAL |
//!
//! # Clone
//! Services and handles are cheap to clone, and clones share what there is to share.
//!
//! # Cancel safety
//! A call or an answer that is dropped resets its stream, and gives back what it held.
//!
//! # Panics
//! Outside of tokio's runtime with its time and IO enabled. A panic of the caller's request body is a failure
//! of that call.

mod answers;
mod body;
mod by_name;
mod cause;
mod connection;
mod counts;
mod deadline;
#[cfg(test)]
mod end_to_end;
mod header;
#[cfg(feature = "http")]
pub mod http;
mod instances;
mod judge;
mod limit;
mod method;
mod outcome;
#[cfg(test)]
mod peer;
mod refusal;
mod server;
mod snapshot;
mod stack;
mod status;

pub use answers::AnswerCache;
pub use cause::{find_cause, is_caused_by};
pub use counts::Calls;
pub use deadline::Expired;
pub use instances::{
    InstanceBody, InstanceCall, InstanceSnapshot, Instances, InstancesSnapshot, NotCallable,
    Supervisor,
};
pub use limit::{ConcurrencyLimit, Full, LimitSnapshot};
pub use method::{InvalidDescriptors, Method, Methods};
pub use server::{Served, ServedCall, ServerSnapshot, ServerStack, TonicPeer};
pub use snapshot::Snapshot;
pub use stack::{Call, InvalidStack, Stack, Stacked};

// What the stack is made of, to choose other parts.
pub use mainstay_circuit_breaker as circuit_breaker;
pub use mainstay_conn_pool as conn_pool;
pub use mainstay_plugin as plugin;
pub use mainstay_request_context as request_context;
pub use mainstay_retry_backoff as retry_backoff;
pub use mainstay_tasks as tasks;
pub use mainstay_ttl_cache as ttl_cache;
