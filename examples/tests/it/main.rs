//! The example programs as real processes: kv_plugin under a host by hand, under our launcher and
//! under Go's host and Python's; kv_host and our launcher with Go's plugin and Python's; the two of the
//! bidirectional example, with each other and with Go's; chat_host and our launcher with chat_plugin and
//! lookup_plugin; the programs of the patterns.

mod bidirectional;
mod by_hand;
mod chat;
mod grpc;
mod host_side;
mod lookup;
mod patterns;
#[cfg(feature = "peers")]
mod peers;
mod plugin_side;
mod processes;
#[cfg(feature = "peers-python")]
mod python_peers;
mod started;
#[cfg(feature = "peers-terraform")]
mod terraform;
mod wait;
