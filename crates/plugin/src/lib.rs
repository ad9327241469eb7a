//! HashiCorp's go-plugin protocol over gRPC, both sides: serve a plugin, host a plugin.
//!
//! A plugin is a program that offers gRPC services to the one program that started it, its host.
//! They run in processes of their own, so that a plugin can crash without its host, and be written
//! in another language: hosts and plugins of this crate work with those of Go's go-plugin, with
//! mutual TLS (AutoMTLS) where asked for. [`Plugin`] is the one side, [`Launcher`] the other; the
//! services are whatever [`tonic`] generates.
//!
//! **A plugin that was launched is gone when its [`Instance`] is**: no process of its group, no
//! zombie, no socket and no directory stays behind, however it ends.
//!
//! ```
//! use mainstay_plugin::{Cookie, LaunchFailure, Launcher};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cookie = Cookie::new("BASIC_PLUGIN", "hello")?;
//! // Not a plugin: it prints something else, and says why on stderr.
//! let launcher = Launcher::new("/bin/sh", cookie, 1)
//!     .with_argument("-c")
//!     .with_argument("echo hello; echo no licence >&2; exit 3");
//!
//! let error = launcher.launch().await.unwrap_err();
//! assert!(matches!(error.failure(), LaunchFailure::Line(_)));
//! assert_eq!(error.line(), Some("hello"));
//! assert_eq!(error.stderr(), ["no licence"]);
//! # Ok(()) }
//! ```
//!
//! | to set | by default |
//! |---|---|
//! | [`Plugin::with_version`]: services of another app protocol version | one version |
//! | [`Plugin::with_transport`]: a unix socket or TCP on loopback | unix socket |
//! | [`Plugin::with_drain_within`]: how long calls may go on at the end | 1.5 s |
//! | [`Plugin::outliving_its_host`] | ends within 1 s of its host |
//! | [`Launcher::with_auto_mtls`] | plain |
//! | [`Launcher::with_multiplexing`]: brokered connections share one socket | one each |
//! | [`Launcher::with_start_within`], `with_connect_within`, `with_stop_within` | 60 s, 5 s, 2 s |
//! | [`Launcher::with_cleared_environment`] | the host's, but for `PLUGIN_*` |
//!
//! # Logs
//! Both sides speak through `tracing`. Lines that a plugin writes to stderr become events of the
//! host, under the target `mainstay_plugin::stderr`; give a plugin's subscriber stderr to write to,
//! since its stdout is the protocol's; and have it not complain when nobody reads that any more
//! (`tracing_subscriber::fmt().log_internal_errors(false)`), for by default it then panics.
//!
//! # Where it differs from upstream
//! Certificates are on P-256 and not P-521; a peer must show the one that was announced, and prove
//! that it has the key. `Shutdown` is answered before the plugin ends. SIGTERM drains and removes
//! the socket. A host starts each plugin in a process group and with a socket directory of its own,
//! and passes on no `PLUGIN_*` variable that it got itself. With multiplexing the socket file is
//! removed too, and an answer to who has given up cannot lead the next connection astray. net/rpc and
//! stdio streams are not there yet.

mod broker;
mod certificate;
mod connection;
mod cookie;
mod heard_out;
mod launch;
mod line;
mod mux;
mod serve;
mod tls;
mod wire;

// Stdio is generated with the rest, and used when it is served.
#[allow(missing_docs, unnameable_types, unreachable_pub, clippy::all, clippy::use_self, dead_code)]
#[rustfmt::skip]
#[path = "generated/plugin.rs"]
mod generated;

pub use broker::{Accepted, Broker, BrokerError, BrokerFailure};
pub use connection::Connection;
pub use cookie::{Cookie, InvalidCookie};
pub use launch::{
    ConnectError, ConnectFailure, Connecting, Connector, Exit, Instance, LaunchError,
    LaunchFailure, Launcher, StillRunning, Stopped, StoppedBy,
};
pub use line::{Address, HandshakeLine, InvalidLine};
pub use serve::{DuplicateVersion, InvalidEnvironment, Plugin, ServeError, Transport};
pub use wire::{Mark, Wire, Wired};
