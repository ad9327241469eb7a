//! Resilience for gRPC services, and for go-plugin compatible plugins.
//!
//! What is here yet is what the stack stands on.
#![allow(
    dead_code,
    unused_imports,
    reason = "the stack that uses it comes next"
)]

mod body;
mod connection;
mod deadline;
#[cfg(test)]
mod end_to_end;
mod method;
mod outcome;
#[cfg(test)]
mod peer;
mod status;

pub use method::{InvalidDescriptors, Method, Methods};
