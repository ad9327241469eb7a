//! What the example programs share: the well-known key-value contract of go-plugin's own examples.

pub mod kv;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/proto.rs"]
pub mod proto;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
