//! What requests bring, what those below them read, and what is passed on.

#[cfg(feature = "http-body")]
mod bodies;
mod client;
mod contract;
mod dropped;
mod fields;
mod ids;
mod in_flight;
mod scopes;
mod server;
