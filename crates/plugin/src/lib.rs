//! HashiCorp's go-plugin protocol over gRPC, both sides: serve a plugin, host a plugin.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod certificate;
mod connection;
mod cookie;
mod launch;
mod line;
mod serve;
mod tls;

#[allow(missing_docs, unnameable_types, unreachable_pub, clippy::all, clippy::use_self, dead_code)]
#[rustfmt::skip]
#[path = "generated/plugin.rs"]
mod generated;

pub use connection::Connection;
pub use cookie::{Cookie, InvalidCookie};
pub use launch::{
    ConnectError, ConnectFailure, Connecting, Connector, Exit, Instance, LaunchError,
    LaunchFailure, Launcher, StillRunning, Stopped, StoppedBy,
};
pub use line::{Address, HandshakeLine, InvalidLine};
pub use serve::{DuplicateVersion, InvalidEnvironment, Plugin, ServeError, Transport};
