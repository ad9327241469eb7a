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
//! | [`Plugin::with_own_output`] | stdout and stderr go to the host |
//! | [`Plugin::outliving_its_host`] | ends within 1 s of its host |
//! | [`Launcher::with_checksum`]: what the program's file must hash to | any file |
//! | [`Launcher::with_auto_mtls`] | plain |
//! | [`Launcher::with_multiplexing`]: brokered connections share one socket | one each |
//! | [`Launcher::with_start_within`], `with_connect_within`, `with_stop_within` | 60 s, 5 s, 2 s |
//! | [`Launcher::with_stdout`], `with_stderr`: writers for what it prints | `tracing` |
//! | [`Launcher::with_cleared_environment`] | the host's, but for `PLUGIN_*` |
//!
//! A host can also use a plugin that [runs already](Reattach), and a test one
//! [within its own process](Plugin::serve_in_process).
//!
//! # Logs
//! Both sides speak through `tracing`. Lines that a plugin writes to stderr become events of the
//! host, under the target `mainstay_plugin::stderr`; give a plugin's subscriber [`Stderr`] to write to,
//! and have it not complain when nobody reads that any more
//! (`tracing_subscriber::fmt().log_internal_errors(false)`), for by default it then panics. With the
//! feature `hclog` there is `HclogLayer`, whose lines keep level and fields under any host. What a
//! plugin prints otherwise goes to the host as its output, see [`Plugin`] and
//! [`Launcher::with_stdout`].
//!
//! # Where it differs from upstream
//! Certificates are on P-256 and not P-521; a peer must show the one that was announced, and prove
//! that it has the key. `Shutdown` is answered before the plugin ends. SIGTERM drains and removes
//! the socket. A host starts each plugin in a process group and with a socket directory of its own,
//! and passes on no `PLUGIN_*` variable that it got itself. What a
//! plugin prints is taken from the process and not from the language's own writers, a second stdio
//! stream takes over from the first, and what no host fetches holds nobody up for ever. With multiplexing
//! the socket file is removed too, and an answer to who has given up cannot lead the next connection
//! astray. net/rpc is not there.

mod broker;
mod certificate;
mod connection;
mod cookie;
#[cfg(feature = "hclog")]
mod hclog;
mod heard_out;
mod launch;
mod line;
mod mux;
mod serve;
mod tls;
mod wire;

// All of the protocol is generated, and some of it is not used.
#[allow(missing_docs, unnameable_types, unreachable_pub, clippy::all, clippy::use_self, dead_code)]
#[rustfmt::skip]
#[path = "generated/plugin.rs"]
mod generated;

pub use broker::{Accepted, Broker, BrokerError, BrokerFailure};
pub use connection::Connection;
pub use cookie::{Cookie, InvalidCookie};
#[cfg(feature = "hclog")]
pub use hclog::HclogLayer;
pub use launch::{
    Checksum, ConnectError, ConnectFailure, Connecting, Connector, Exit, Instance, InvalidChecksum,
    LaunchError, LaunchFailure, Launcher, Reattach, StillRunning, Stopped, StoppedBy,
};
pub use line::{Address, HandshakeLine, InvalidLine};
pub use serve::{
    DuplicateVersion, InProcess, InvalidEnvironment, Plugin, ServeError, Stderr, Transport,
};
pub use wire::{Mark, Wire, Wired};
