//! What the example programs share: the well-known contracts of go-plugin's own examples, and a plugin
//! that is put through a lot.

pub mod chat;
pub mod counter;
pub mod greeter;
pub mod kv;
pub mod line_server;
pub mod lookup;
pub mod program;
pub mod trial;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/chat.rs"]
pub mod chat_proto;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/lookup.rs"]
pub mod lookup_proto;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/bidirectional/proto.rs"]
pub mod counter_proto;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/proto.rs"]
pub mod proto;

#[allow(missing_docs, clippy::all, clippy::use_self)]
#[rustfmt::skip]
#[path = "generated/trial.rs"]
pub mod trial_proto;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
