//! The pool as its users see it.

#[cfg(feature = "http-body")]
mod body;
mod closing;
mod connecting;
mod deaths;
mod failing;
mod foreign;
mod health;
mod http1;
mod invariant;
mod keyed;
mod lending;
mod queue;
mod shared;
mod support;
mod targets;
mod tower;
mod upkeep;
