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
