use std::fmt;
use std::io;

use super::environment::InvalidEnvironment;
use crate::line::InvalidLine;

/// Why a plugin did not come to serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The magic cookie is missing or wrong: a person ran the program, and not a host.
    NoHost,
    /// A variable that the host set cannot be understood.
    Environment(InvalidEnvironment),
    /// There was nothing to listen on.
    Listen {
        /// What was tried.
        place: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The plugin's own certificate or TLS could not be made.
    Tls(Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be told in a handshake line.
    Address(InvalidLine),
    /// The process could not be made ready: signals, or the watch over the host.
    Process(io::Error),
    /// The handshake line could not be written: the host no longer reads.
    Announce(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Upstream's words, which people find when they search for them.
            Self::NoHost => f.write_str(
                "This binary is a plugin. These are not meant to be executed directly.\n\
                 Please execute the program that consumes these plugins, which will\n\
                 load any plugins automatically",
            ),
            Self::Environment(_) => f.write_str("the host set an environment variable wrong"),
            Self::Listen { place, .. } => write!(f, "cannot listen on {place}"),
            Self::Tls(_) => f.write_str("mutual TLS cannot be set up"),
            Self::Address(_) => f.write_str("the host cannot be told where the plugin listens"),
            Self::Process(_) => f.write_str("cannot listen to signals or watch the host"),
            Self::Announce(_) => f.write_str("cannot write the handshake line to stdout"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoHost => None,
            Self::Environment(source) => Some(source),
            Self::Listen { source, .. } | Self::Process(source) | Self::Announce(source) => {
                Some(source)
            }
            Self::Tls(source) => Some(&**source),
            Self::Address(source) => Some(source),
        }
    }
}

impl From<InvalidEnvironment> for ServeError {
    fn from(error: InvalidEnvironment) -> Self {
        Self::Environment(error)
    }
}
