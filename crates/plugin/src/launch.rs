mod attached;
mod checksum;
mod connector;
mod error;
mod instance;
mod log;
mod output;
mod process;
mod reattach;
pub(crate) mod socket;
mod started;
mod stdio;

pub use checksum::{Checksum, InvalidChecksum};
pub(crate) use connector::connect;
pub use connector::{Connecting, Connector};
pub use error::{ConnectError, ConnectFailure, LaunchError, LaunchFailure, StillRunning};
pub use instance::{Exit, Instance, Stopped, StoppedBy};
pub use reattach::Reattach;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::task::spawn_blocking;

use self::error::Left;
use self::output::Lines;
use self::process::{Output, Process};
use self::started::Started;
use self::stdio::{Writer, Writers};
use crate::certificate::Identity;
use crate::cookie::Cookie;

/// What hosts say of themselves to plugins. What this host does not say must not come from its own
/// environment either, which another host may have written.
const VARIABLES: [&str; 7] = [
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MAX_PORT",
    "PLUGIN_MIN_PORT",
    "PLUGIN_MULTIPLEX_GRPC",
    "PLUGIN_PROTOCOL_VERSIONS",
    "PLUGIN_UNIX_SOCKET_DIR",
    "PLUGIN_UNIX_SOCKET_GROUP",
];

/// How a plugin is started and spoken to: the host's side of the protocol.
///
/// ```no_run
/// use mainstay_plugin::{Cookie, Launcher};
/// # use tonic_health::pb::{HealthCheckRequest as GetRequest, health_client::HealthClient as KvClient};
///
/// # async fn host() -> Result<(), Box<dyn std::error::Error>> {
/// let cookie = Cookie::new("BASIC_PLUGIN", "hello")?;
/// let plugin = Launcher::new("./kv_plugin", cookie, 1).with_auto_mtls().launch().await?;
/// let mut kv = KvClient::new(plugin.connect().await?);
/// let answer = kv.check(GetRequest::default()).await?;
/// plugin.stop().await?;
/// # Ok(()) }
/// ```
///
/// The plugin gets no stdin and is the head of a process group of its own, so that a Ctrl-C at the
/// host's terminal is the host's to handle. What it writes to stderr goes to `tracing` under the
/// target `mainstay_plugin::stderr`, in the level that it says (hclog's JSON or `[LEVEL]` in front;
/// else debug); what it prints, under `mainstay_plugin::stdout`. Where the plugin has a stdio service
/// (`plugin.GRPCStdio`), what it prints while it serves comes over that and goes the same way, or to
/// [writers](Self::with_stdout) of yours.
///
/// A host that is killed can end nothing: plugins of this crate then end by themselves, within a
/// second; those of other makes may not. What then stays is a `plugin-dir..` among the
/// temporary files, empty but for the sockets of brokered connections that the host accepted.
///
/// # Clone
/// A clone is another launcher with the same settings.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    inherits: bool,
    current_dir: Option<PathBuf>,
    cookie: Cookie,
    versions: BTreeSet<u32>,
    checksum: Option<Checksum>,
    auto_mtls: bool,
    writers: Writers,
    multiplexing: bool,
    start_within: Duration,
    connect_within: Duration,
    stop_within: Duration,
}

impl Launcher {
    /// Launches `program`, a plugin that is known by `cookie` and should speak the app protocol
    /// `version`.
    ///
    /// A name without a slash is looked up in `PATH`; a relative path is taken from the directory
    /// that this process is in now, whatever directory the plugin is given.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, cookie: Cookie, version: u32) -> Self {
        let program = program.into();
        let is_path = program.components().nth(1).is_some();
        Self {
            program: match std::path::absolute(&program) {
                Ok(absolute) if is_path => absolute,
                _ => program,
            },
            arguments: Vec::new(),
            variables: Vec::new(),
            inherits: true,
            current_dir: None,
            cookie,
            versions: BTreeSet::from([version]),
            checksum: None,
            auto_mtls: false,
            writers: Writers::default(),
            multiplexing: false,
            start_within: Duration::from_secs(60),
            connect_within: Duration::from_secs(5),
            stop_within: Duration::from_secs(2),
        }
    }

    /// Accepts another app protocol version too; the plugin chooses.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.versions.insert(version);
        self
    }

    /// Asks for mutual TLS with certificates made for each launch. A plugin that does not answer
    /// with its own is refused. Off by default, as not every plugin knows it.
    #[must_use]
    pub const fn with_auto_mtls(mut self) -> Self {
        self.auto_mtls = true;
        self
    }

    /// Refuses to start a program whose file has another checksum. It is read anew for each launch, and
    /// the program must be given by a path, not by a name to look up.
    ///
    /// Who can replace the file between that look and the start is not kept from it: have the directory
    /// be writable for those only whom you trust.
    #[must_use]
    pub fn with_checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Asks for [brokered](crate::Broker) connections that share the plugin's one socket, as its
    /// streams, instead of one each. A plugin that does not know it is refused. Off by default, as only
    /// newer plugins do (of go-plugin from 1.6 on).
    #[must_use]
    pub const fn with_multiplexing(mut self) -> Self {
        self.multiplexing = true;
        self
    }

    /// Gives the plugin another argument.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable of the plugin; those of the protocol cannot be set.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Keeps the host's own environment from the plugin; by default the plugin inherits it, but for
    /// the variables of the protocol.
    #[must_use]
    pub const fn with_cleared_environment(mut self) -> Self {
        self.inherits = false;
        self
    }

    /// The plugin's working directory; the host's by default.
    #[must_use]
    pub fn with_current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Has a writer of yours get what plugins print to stdout once they serve, byte for byte, instead of
    /// `tracing`. What several launches print is mixed in pieces of at most 1 KiB.
    ///
    /// It begins when the plugin is [connected](Instance::connect), and plugins without a stdio service
    /// have none. A writer that is slow holds up the plugin that prints, once its pipe is full; one that
    /// fails is left, and `tracing` gets the rest.
    #[must_use]
    pub fn with_stdout(mut self, writer: impl AsyncWrite + Send + 'static) -> Self {
        self.writers.stdout = Some(Writer::new(writer));
        self
    }

    /// As [`with_stdout`](Self::with_stdout), for stderr. The plugin's log, which is on the stderr that it
    /// was started with, still goes to `tracing`.
    #[must_use]
    pub fn with_stderr(mut self, writer: impl AsyncWrite + Send + 'static) -> Self {
        self.writers.stderr = Some(Writer::new(writer));
        self
    }

    /// How long a plugin may take to its handshake line; 60 s by default, as upstream.
    #[must_use]
    pub const fn with_start_within(mut self, start_within: Duration) -> Self {
        self.start_within = start_within;
        self
    }

    /// How long it may take to connect to a plugin, TLS and a health check included; 5 s by default.
    #[must_use]
    pub const fn with_connect_within(mut self, connect_within: Duration) -> Self {
        self.connect_within = connect_within;
        self
    }

    /// How long a plugin may take to end after the `Shutdown` call; 2 s by default, as upstream.
    #[must_use]
    pub const fn with_stop_within(mut self, stop_within: Duration) -> Self {
        self.stop_within = stop_within;
        self
    }

    /// Starts the plugin and reads its handshake line.
    ///
    /// # Errors
    /// Whatever keeps the plugin from starting, each with its own [`LaunchFailure`]; by then the
    /// process is gone.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    ///
    /// # Cancel safety
    /// Dropped, it ends the plugin as dropping an [`Instance`] does.
    pub async fn launch(&self) -> Result<Instance, LaunchError> {
        let failed = |failure| LaunchError {
            failure,
            program: self.program.display().to_string(),
            line: None,
            left: Left::default(),
        };
        let prepare =
            |error: Box<dyn std::error::Error + Send + Sync>| failed(LaunchFailure::Prepare(error));
        self.check().await.map_err(failed)?;
        let identity = self
            .auto_mtls
            .then(Identity::generate)
            .transpose()
            .map_err(|error| prepare(error.into()))?;
        let dir = socket::dir(&std::env::temp_dir()).map_err(|error| prepare(error.into()))?;

        let command = self.command(dir.path(), identity.as_ref());
        let (process, Output { stdout, stderr }) =
            Process::start(command).map_err(|error| failed(LaunchFailure::Spawn(error)))?;
        let [stdout, stderr] = [OwnedFd::from(stdout), OwnedFd::from(stderr)].map(Lines::new);
        let stdout = stdout.map_err(|error| prepare(error.into()))?;
        let stderr = stderr.map_err(|error| prepare(error.into()))?;

        let started = Started::new(process, dir, self, stderr);
        started.into_instance(self, stdout, identity).await
    }

    async fn check(&self) -> Result<(), LaunchFailure> {
        let Some(expected) = self.checksum.clone() else {
            return Ok(());
        };
        let unread = |error| LaunchFailure::Unread(error);
        if self.program.is_relative() {
            let error = "it is a name to look up, and with a checksum it must be a path";
            return Err(unread(io::Error::new(io::ErrorKind::InvalidInput, error)));
        }
        let program = self.program.clone();
        let hashed = spawn_blocking(move || {
            let found = expected.of_file(&program)?;
            Ok((expected, found))
        });
        let hashed = hashed.await.map_err(io::Error::other).and_then(|it| it);
        let (expected, found) = hashed.map_err(unread)?;
        if expected.matches(&found) {
            Ok(())
        } else {
            Err(LaunchFailure::Checksum { expected, found })
        }
    }

    fn command(&self, socket_dir: &Path, identity: Option<&Identity>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        if !self.inherits {
            command.env_clear();
        }
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for name in VARIABLES {
            command.env_remove(name);
        }
        let versions: Vec<_> = self.versions.iter().map(u32::to_string).collect();
        command
            .env(self.cookie.key(), self.cookie.value())
            .env("PLUGIN_PROTOCOL_VERSIONS", versions.join(","))
            // Upstream's numbers when its user gives none.
            .env("PLUGIN_MIN_PORT", "10000")
            .env("PLUGIN_MAX_PORT", "25000")
            .env("PLUGIN_UNIX_SOCKET_DIR", socket_dir);
        if let Some(identity) = identity {
            command.env("PLUGIN_CLIENT_CERT", identity.pem());
        }
        if self.multiplexing {
            command.env("PLUGIN_MULTIPLEX_GRPC", "true");
        }
        command
    }

    /// Where the plugin puts temporary files.
    fn plugins_temp_dir(&self) -> PathBuf {
        let is_temp_dir = |(name, _): &&(OsString, OsString)| name == "TMPDIR";
        let own = self.variables.iter().rev().find(is_temp_dir);
        match own {
            Some((_, dir)) => dir.into(),
            None if self.inherits => std::env::temp_dir(),
            None => PathBuf::from("/tmp"),
        }
    }

    fn name(&self) -> Arc<str> {
        let name = self.program.file_name().map(OsStr::to_string_lossy);
        name.unwrap_or_else(|| self.program.to_string_lossy())
            .into()
    }
}

#[cfg(test)]
mod tests;
