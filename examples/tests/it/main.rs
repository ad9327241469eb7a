//! The example programs as real processes: kv_plugin under a host by hand, under our launcher and
//! under Go's host; kv_host and our launcher with Go's plugin; the two of the bidirectional example,
//! with each other and with Go's; chat_host and our launcher with chat_plugin and lookup_plugin.

mod bidirectional;
mod by_hand;
mod chat;
mod grpc;
mod host_side;
mod lookup;
#[cfg(feature = "peers")]
mod peers;
mod plugin_side;
mod processes;
mod started;
mod wait;
