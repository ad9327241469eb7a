//! Request id, client, deadline and trace: carried with the request, read anywhere below it.

mod client;
mod context;
pub mod future;
mod headers;
mod id;
mod in_flight;
mod scope;
mod server;
mod text;
mod timeout;
mod trace;

pub use client::{ClientContext, ClientContextLayer};
pub use context::{RequestContext, deadline, remaining};
pub use id::{Id, InvalidId};
pub use in_flight::{InFlight, InFlightRequest};
pub use scope::{InContext, spawn};
pub use server::{FindPeer, PlainPeer, ServerContext, ServerContextLayer};
pub use trace::TraceContext;
