mod connector;
mod error;
mod instance;
mod log;
mod output;
mod process;

pub(crate) use connector::connect;
pub use connector::{Connecting, Connector};
pub use error::{ConnectError, ConnectFailure, LaunchError, LaunchFailure, StillRunning};
pub use instance::{Exit, Instance, Stopped, StoppedBy};

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tempfile::{TempDir, TempPath};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::error::Left;
use self::instance::{ForwardedOutput, SocketFiles};
use self::output::{LONGEST_LINE, Lines, Piece, Tail, shortened};
use self::process::{Output, Process};
use crate::broker::{HostBroker, Means, Strays};
use crate::certificate::{Identity, Pinned, Role};
use crate::cookie::Cookie;
use crate::line::{Address, HandshakeLine};
use crate::mux::{Dialer, Over};
use crate::serve::Place;
use crate::tls::Tls;

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

/// What fits into a socket address, without the zero behind it.
const LONGEST_SOCKET_PATH: usize = 107;

/// How long a plugin that failed to start is given to end, before it is killed.
const ENDS_BY_ITSELF: Duration = Duration::from_millis(200);

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
/// else debug); what it prints, under `mainstay_plugin::stdout`.
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
    auto_mtls: bool,
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
            auto_mtls: false,
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
        let identity = self
            .auto_mtls
            .then(Identity::generate)
            .transpose()
            .map_err(|error| prepare(error.into()))?;
        let dir = socket_dir(&std::env::temp_dir()).map_err(|error| prepare(error.into()))?;

        let command = self.command(dir.path(), identity.as_ref());
        let (process, Output { stdout, stderr }) =
            Process::start(command).map_err(|error| failed(LaunchFailure::Spawn(error)))?;
        let [stdout, stderr] = [OwnedFd::from(stdout), OwnedFd::from(stderr)].map(Lines::new);
        let stdout = stdout.map_err(|error| prepare(error.into()))?;
        let stderr = stderr.map_err(|error| prepare(error.into()))?;

        let started = Started::new(process, dir, self, stderr);
        started.into_instance(self, stdout, identity).await
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

/// A process that has not yet proved to be a plugin.
struct Started {
    process: Process,
    dir: TempDir,
    output: ForwardedOutput,
    plugin: Arc<str>,
}

impl Started {
    fn new(process: Process, dir: TempDir, launcher: &Launcher, stderr: Lines) -> Self {
        let plugin = launcher.name();
        let tail = Tail::default();
        let (reading, stderr_read) = watch::channel(());
        let mut tasks = JoinSet::new();
        let forward = log::forward_stderr(stderr, Arc::clone(&plugin), tail.clone());
        tasks.spawn(async move {
            forward.await;
            drop(reading);
        });
        Self {
            process,
            dir,
            output: ForwardedOutput {
                tail,
                stderr_read,
                tasks,
            },
            plugin,
        }
    }

    async fn into_instance(
        mut self,
        launcher: &Launcher,
        mut stdout: Lines,
        identity: Option<Identity>,
    ) -> Result<Instance, LaunchError> {
        let line = match self.first_line(launcher, &mut stdout).await {
            Ok(line) => line,
            Err((failure, line)) => return Err(self.failed(launcher, failure, &line).await),
        };
        let understood = understand(&line, &launcher.versions, identity);
        let (handshake, tls) = match understood {
            Ok(understood) => understood,
            Err(failure) => return Err(self.failed(launcher, failure, &line).await),
        };
        if launcher.multiplexing && !handshake.multiplexing() {
            let failure = LaunchFailure::NoMultiplexing;
            // Removed when the process is gone.
            let _socket = socket_elsewhere(handshake.address(), &launcher.plugins_temp_dir());
            return Err(self.failed(launcher, failure, &line).await);
        }
        let plugin = Arc::clone(&self.plugin);
        self.output.tasks.spawn(log::forward_stdout(stdout, plugin));
        let address = handshake.address().clone();
        tracing::info!(
            plugin = %self.plugin,
            pid = self.process.pid(),
            version = handshake.version(),
            "plugin started"
        );
        let dialer = launcher
            .multiplexing
            .then(|| Arc::new(Dialer::new(address.clone())));
        let broker = HostBroker::new(Means {
            place: match &address {
                Address::Unix(_) => Place::Unix {
                    dir: self.dir.path().to_owned(),
                    group: None,
                },
                Address::Tcp(_) => Place::Tcp(0..=0),
            },
            tls: tls.clone(),
            strays: Some(Arc::new(Strays::new(launcher.plugins_temp_dir()))),
            over: dialer.clone().map(Over::Dialer),
        });
        let tls = tls.map(|tls| tls.connecting);
        let mut connector = Connector::new(address.clone(), tls, launcher.connect_within);
        if let Some(dialer) = &dialer {
            connector = connector.over(Arc::clone(dialer));
        }
        Ok(Instance {
            broker,
            files: SocketFiles {
                elsewhere: socket_elsewhere(&address, &launcher.plugins_temp_dir()),
                dir: self.dir,
            },
            process: self.process,
            output: self.output,
            plugin: self.plugin,
            version: handshake.version(),
            connector,
            multiplexed: dialer.is_some(),
            channel: OnceCell::new(),
            connect_within: launcher.connect_within,
            stop_within: launcher.stop_within,
        })
    }

    /// The first line, or what is wrong with it and as much as there is of it.
    async fn first_line(
        &self,
        launcher: &Launcher,
        stdout: &mut Lines,
    ) -> Result<String, (LaunchFailure, String)> {
        let reading = async {
            tokio::select! {
                // First, so that a line from a process that has just ended is still read.
                biased;
                piece = stdout.next() => Some(piece),
                _ = self.process.ended() => None,
            }
        };
        let piece = match timeout(launcher.start_within, reading).await {
            Ok(Some(piece)) => piece,
            // Its pipe may have another holder, which neither prints nor ends.
            Ok(None) => match timeout(ENDS_BY_ITSELF, stdout.next()).await {
                Ok(piece) => piece,
                Err(_) => return Err((LaunchFailure::Exited, stdout.begun())),
            },
            Err(_) => {
                let failure = LaunchFailure::Timeout(launcher.start_within);
                return Err((failure, stdout.begun()));
            }
        };
        match piece {
            Ok(Piece::Line(line)) => Ok(line),
            Ok(Piece::Part(line)) => Err((LaunchFailure::LongLine(LONGEST_LINE), line)),
            Ok(Piece::End(line)) => Err((LaunchFailure::ClosedStdout, line)),
            Err(error) => Err((LaunchFailure::Prepare(error.into()), String::new())),
        }
    }

    /// Ends the process, and gathers what it left.
    async fn failed(
        self,
        launcher: &Launcher,
        mut failure: LaunchFailure,
        line: &str,
    ) -> LaunchError {
        // A process that is about to end explains more by its status than by being killed.
        let status = timeout(ENDS_BY_ITSELF, self.process.ended()).await.ok();
        if status.is_some() && matches!(failure, LaunchFailure::ClosedStdout) {
            failure = LaunchFailure::Exited;
        }
        let Self {
            process,
            dir,
            output,
            plugin: _,
        } = self;
        drop(process);
        drop(dir);
        let stderr = output.into_last_lines().await;
        // Upstream's words, by which plugins of any make say this.
        let no_cookie = |line: &String| line.starts_with("This binary is a plugin.");
        if matches!(failure, LaunchFailure::Exited) && stderr.iter().any(no_cookie) {
            failure = LaunchFailure::Cookie(launcher.cookie.key().to_owned());
        }
        LaunchError {
            failure,
            program: launcher.program.display().to_string(),
            line: Some(line).filter(|line| !line.is_empty()).map(shortened),
            left: Left {
                status: status.flatten(),
                stderr,
            },
        }
    }
}

fn understand(
    line: &str,
    versions: &BTreeSet<u32>,
    identity: Option<Identity>,
) -> Result<(HandshakeLine, Option<Tls>), LaunchFailure> {
    let handshake: HandshakeLine = line.parse().map_err(LaunchFailure::Line)?;
    if !versions.contains(&handshake.version()) {
        return Err(LaunchFailure::Version {
            plugin: handshake.version(),
            host: versions.clone(),
        });
    }
    let certificate = handshake.certificate().map(<[u8]>::to_vec);
    let tls = match (identity, certificate) {
        (None, None) => None,
        (None, Some(_)) => return Err(LaunchFailure::UnaskedCertificate),
        (Some(_), None) => return Err(LaunchFailure::NoCertificate),
        (Some(own), Some(der)) => {
            let pinned = Pinned::from_der(CertificateDer::from(der))
                .map_err(|error| LaunchFailure::Certificate(error.into()))?;
            // Every TLS handshake checks it again; here the failure can be told in full.
            pinned
                .check_use(Role::Server, UnixTime::now())
                .map_err(rustls::Error::from)
                .and_then(|()| Tls::new(own, pinned))
                .map(Some)
                .map_err(|error| LaunchFailure::Certificate(error.into()))?
        }
    };
    Ok((handshake, tls))
}

/// A directory for the plugin's socket, which only its owner may enter: systems differ in what the
/// mode of a socket file means.
fn socket_dir(temp_dir: &Path) -> io::Result<TempDir> {
    let (prefix, random) = ("plugin-dir", 6);
    // Two slashes, and a name as upstream's plugins and ours give their sockets.
    let longest = temp_dir.as_os_str().len() + prefix.len() + random + 2 + 16;
    let short = Path::new("/tmp");
    tempfile::Builder::new()
        .prefix(prefix)
        .rand_bytes(random)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(if longest > LONGEST_SOCKET_PATH {
            short
        } else {
            temp_dir
        })
}

/// The socket of a plugin that does not heed `PLUGIN_UNIX_SOCKET_DIR`, as upstream before 1.6, and
/// that leaves it behind when it is killed. Only where and as upstream names them: a plugin may
/// also lead to the socket of something that lives on.
pub(crate) fn socket_elsewhere(address: &Address, plugins_temp_dir: &Path) -> Option<TempPath> {
    let Address::Unix(path) = address else {
        return None;
    };
    let as_upstream = path.parent() == Some(plugins_temp_dir)
        && path.file_name()?.to_str()?.starts_with("plugin");
    let is_socket = path.symlink_metadata().ok()?.file_type().is_socket();
    (as_upstream && is_socket)
        .then(|| TempPath::try_from_path(path).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
