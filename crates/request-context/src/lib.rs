//! Request id, client, deadline and trace: carried with the request, read anywhere below it.
//!
//! A [`ServerContextLayer`] reads from the headers of each request who it is and how long its caller
//! waits, and a [`ClientContextLayer`] says so to whatever is called meanwhile, with the time that is
//! **left**. In between nothing needs to be handed on: [`RequestContext::current`] and [`remaining`] can
//! be asked at any depth, by other layers too. They are for any service of [`http::Request`]s.
//!
//! **A context is current exactly while the work of its request runs**: also while that is dropped, and
//! no longer after a cancellation or a panic.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use http::{HeaderMap, Request};
//! use mainstay_request_context::{ClientContextLayer, InFlight, ServerContextLayer, remaining};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Infallible> {
//! // Answers with the headers that came to it.
//! let backend = service_fn(|it: Request<()>| async move { Ok::<_, Infallible>(it.headers().clone()) });
//! let client = ServiceBuilder::new().layer(ClientContextLayer::new()).service(backend);
//!
//! let in_flight = InFlight::new();
//! let server = ServiceBuilder::new()
//!     .layer(ServerContextLayer::new().with_in_flight(in_flight.clone()))
//!     .service(service_fn(|_: Request<()>| async {
//!         tokio::time::sleep(Duration::from_secs(3)).await;
//!         assert_eq!(remaining(), Some(Duration::from_secs(7)));
//!         assert_eq!(in_flight.snapshot()[0].context.id().as_str(), "id-1");
//!         client.clone().oneshot(Request::new(())).await
//!     }));
//!
//! let request = Request::builder().header("x-request-id", "id-1").header("grpc-timeout", "10S");
//! let said: HeaderMap = server.oneshot(request.body(()).unwrap()).await?;
//! assert_eq!(said["x-request-id"], "id-1");
//! assert_eq!(said["grpc-timeout"], "7000000u");
//! assert!(in_flight.is_empty());
//! # Ok(()) }
//! ```
//!
//! | what comes | and what is made of it |
//! |---|---|
//! | `x-request-id`: none, several, or no [`Id`] | a new id, a UUID of version 7 |
//! | `x-client-id`: none, several, or no [`Id`] | no client |
//! | `grpc-timeout`, a header in milliseconds: several | the earliest that can be read |
//! | one that cannot be read: nine digits, no unit | as if it had not come; whoever it is for may refuse it |
//! | `traceparent`: several, or not valid | no trace, and no `tracestate` |
//!
//! Nothing is refused, and nobody is stopped when the deadline has passed: other layers ask for that,
//! for example with the closure `|_: &_| deadline()`. The headers stay in the request as they came.
//! Ids and clients are the caller's word; where strangers call, [take none](ServerContextLayer::without_given_ids).
//! What an application has to say itself, [it adds](ServerContextLayer::with_fields) to the context.
//!
//! For each request of a server there is a `tracing` span, `request`, at the level `INFO`, with the fields
//! `request_id`, `client_id`, `peer`, `method`, `path`, `trace_id` and `timeout`; those that are not
//! known are left out.
//!
//! # Bodies
//! The context ends with the response, which is before its body has been read. With the feature
//! `http-body`, `ServerContextLayer::with_bodies` has it last until the body has ended; without it, a
//! stream of answers that asks for its context is to carry it along, for example as
//! [`RequestContext::in_scope`] within its `poll_next`.
//!
//! # Spawned tasks
//! They begin without a context. [`spawn`] gives them the current one, [`InContext`] any.
//!
//! # Clone
//! Clones of a service or layer share the requests in flight; those of a context are the same.
//!
//! # Cancel safety
//! A response future that is dropped drops the call in its context and span, and is not in flight then.
//!
//! # Readiness
//! That of the service below, which is asked for it outside of any context: there is no request yet.
//!
//! # Panics
//! A future panics when it is polled after completion. A panic of the service below is passed on; its
//! context is no longer current then, nor is its request in flight.
//!
//! # Errors
//! Those of the service below, unchanged: these layers add none.

mod add_fields;
#[cfg(feature = "http-body")]
mod body;
mod client;
mod context;
mod find_peer;
pub mod future;
mod headers;
mod id;
mod in_flight;
mod scope;
mod server;
mod sync;
#[cfg(test)]
mod tests;
mod text;
mod timeout;
mod trace;

pub use add_fields::{AddFields, NoFields};
#[cfg(feature = "http-body")]
pub use body::{ContextBody, ServerBodyContext, ServerBodyContextLayer};
pub use client::{ClientContext, ClientContextLayer};
pub use context::{RequestContext, deadline, remaining};
pub use find_peer::{FindPeer, PlainPeer};
pub use id::{Id, InvalidId};
pub use in_flight::{InFlight, InFlightRequest};
pub use scope::{InContext, spawn};
pub use server::{ServerContext, ServerContextLayer};
pub use trace::TraceContext;
