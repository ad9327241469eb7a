use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use super::checksum::Checksum;
use crate::broker::BrokerFailure;
use crate::line::InvalidLine;

/// A plugin did not start.
///
/// Its text has what a person needs at night: what was wrong, the line that the plugin printed, how
/// it ended, and the last lines of its stderr.
#[derive(Debug)]
pub struct LaunchError {
    pub(crate) failure: LaunchFailure,
    pub(crate) program: String,
    pub(crate) line: Option<String>,
    pub(crate) left: Left,
}

/// What was wrong with the start of a plugin.
#[derive(Debug)]
#[non_exhaustive]
pub enum LaunchFailure {
    /// The checksum of the program's file cannot be taken.
    Unread(io::Error),
    /// The program's file is not the one that was expected; it was not started.
    Checksum {
        /// What it should hash to.
        expected: Checksum,
        /// What it hashes to.
        found: Checksum,
    },
    /// The program cannot be executed.
    Spawn(io::Error),
    /// This host could not make ready for it: a directory, a certificate, a pipe.
    Prepare(Box<dyn Error + Send + Sync>),
    /// No handshake line within this time.
    Timeout(Duration),
    /// The process ended before it printed a handshake line.
    Exited,
    /// It ended because it did not find its cookie; this is the key of the one that was set.
    Cookie(String),
    /// It closed its stdout without a handshake line, and went on.
    ClosedStdout,
    /// Its first line is longer than this many bytes.
    LongLine(u64),
    /// Its first line is no handshake.
    Line(InvalidLine),
    /// It chose an app protocol version that this host does not speak.
    Version {
        /// The plugin's.
        plugin: u32,
        /// This host's.
        host: BTreeSet<u32>,
    },
    /// Multiplexing was asked for, and the plugin does not say that it knows it.
    NoMultiplexing,
    /// AutoMTLS was asked for, and the plugin sent no certificate.
    NoCertificate,
    /// The plugin sent a certificate, and AutoMTLS was not asked for.
    UnaskedCertificate,
    /// The certificate that the plugin sent is of no use.
    Certificate(Box<dyn Error + Send + Sync>),
}

/// A plugin that started cannot be reached.
#[derive(Debug)]
pub struct ConnectError {
    failure: ConnectFailure,
    place: String,
    left: Left,
}

/// What was wrong with a connection to a plugin.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// There is no such process to attach to, or this one may not watch it.
    Process {
        /// The process that was looked for.
        pid: u32,
        /// Why it was not found.
        error: io::Error,
    },
    /// The socket refused.
    Socket(io::Error),
    /// The TLS handshake failed: one of the two is not who the other expects.
    Tls(io::Error),
    /// Not connected, or not answered, within this time.
    Timeout(Duration),
    /// The connection stands, but the plugin does not speak gRPC on it.
    Grpc(tonic::Status),
    /// The plugin says that it does not serve.
    NotServing,
    /// A multiplexed connection of the broker's did not come about.
    Brokered(Box<BrokerFailure>),
}

/// [`Instance::stop`](crate::Instance::stop) failed: the process survived SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillRunning {
    pub(crate) pid: u32,
    pub(crate) within: Duration,
}

/// What a plugin left behind that explains a failure.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Only if it ended by itself.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stderr: Vec<String>,
}

impl LaunchError {
    /// What was wrong.
    #[must_use]
    pub const fn failure(&self) -> &LaunchFailure {
        &self.failure
    }

    /// The first line that the plugin printed, shortened.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    /// How the plugin ended, if it did by itself.
    #[must_use]
    pub const fn status(&self) -> Option<ExitStatus> {
        self.left.status
    }

    /// The last lines that the plugin wrote to stderr.
    #[must_use]
    pub fn stderr(&self) -> &[String] {
        &self.left.stderr
    }
}

impl ConnectError {
    pub(crate) fn new(failure: ConnectFailure, place: String) -> Self {
        Self {
            failure,
            place,
            left: Left::default(),
        }
    }

    pub(crate) fn into_failure(self) -> ConnectFailure {
        self.failure
    }

    pub(crate) fn with_left(mut self, left: Left) -> Self {
        self.left = left;
        self
    }

    /// What was wrong.
    #[must_use]
    pub const fn failure(&self) -> &ConnectFailure {
        &self.failure
    }

    /// How the plugin ended, if it did by itself.
    #[must_use]
    pub const fn status(&self) -> Option<ExitStatus> {
        self.left.status
    }

    /// The last lines that the plugin wrote to stderr; none in an error of a
    /// [`Connector`](crate::Connector), which knows the socket only.
    #[must_use]
    pub fn stderr(&self) -> &[String] {
        &self.left.stderr
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} did not start: {}", self.program, self.failure)?;
        if let Some(line) = &self.line {
            write!(f, "; its first line: {line:?}")?;
        }
        self.left.fmt(f)
    }
}

/// No source: the text tells the cause in its place, before the plugin's own lines.
impl Error for LaunchError {}

impl fmt::Display for LaunchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(error) => write!(f, "its checksum cannot be taken: {error}"),
            Self::Checksum { expected, found } => write!(
                f,
                "its file is not the expected one: {found}, and not {expected}"
            ),
            Self::Spawn(error) => write!(f, "it cannot be executed: {error}"),
            Self::Prepare(error) => write!(f, "the host could not make ready for it: {error}"),
            Self::Timeout(within) => write!(f, "no handshake line within {within:?}"),
            Self::Exited => f.write_str("it ended before it printed a handshake line"),
            Self::Cookie(key) => write!(
                f,
                "it did not find its magic cookie: it has another key than {key}, or another value"
            ),
            Self::ClosedStdout => f.write_str("it closed its stdout without a handshake line"),
            Self::LongLine(limit) => {
                write!(f, "its first line is longer than {limit} bytes")
            }
            Self::Line(error) => error.fmt(f),
            Self::Version { plugin, host } => write!(
                f,
                "it speaks app protocol version {plugin}, and this host {host:?}"
            ),
            Self::NoMultiplexing => f.write_str(
                "it does not multiplex brokered connections, which this host asks for (plugins of \
                 go-plugin do from its version 1.6 on)",
            ),
            Self::NoCertificate => {
                f.write_str("it sent no certificate, and this host asks for mutual TLS (AutoMTLS)")
            }
            Self::UnaskedCertificate => {
                f.write_str("it sent a certificate, and this host did not ask for TLS")
            }
            Self::Certificate(error) => write!(f, "its certificate is of no use: {error}"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin at {} {}", self.place, self.failure)?;
        self.left.fmt(f)
    }
}

/// No source, as for [`LaunchError`].
impl Error for ConnectError {}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, error } => {
                write!(f, "has no process {pid} that can be watched: {error}")
            }
            Self::Socket(error) => write!(f, "cannot be connected to: {error}"),
            Self::Tls(error) => write!(f, "failed the TLS handshake: {error}"),
            Self::Timeout(within) => write!(f, "did not answer within {within:?}"),
            Self::Grpc(status) => {
                write!(f, "does not speak gRPC: {}", status.message())?;
                let mut cause = status.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Self::NotServing => f.write_str("says that it does not serve"),
            Self::Brokered(failure) => write!(f, "gives no brokered connection: {failure}"),
        }
    }
}

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, within } = self;
        write!(f, "process {pid} still runs {within:?} after SIGKILL")
    }
}

impl Error for StillRunning {}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "; it ended with {status}")?;
        }
        if !self.stderr.is_empty() {
            f.write_str("; its last lines on stderr:")?;
            for line in &self.stderr {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
