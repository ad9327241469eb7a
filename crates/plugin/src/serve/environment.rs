use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::certificate::Pinned;
use crate::cookie::Cookie;
use crate::line::parse_bool;

/// How much of a wrong value is shown in an error.
const SHOWN: usize = 80;

/// What a host tells its plugin through environment variables.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The app protocol versions that the host speaks, in no order; empty if it does not say.
    pub(crate) versions: Vec<u32>,
    /// The host's certificate; its presence asks for mutual TLS.
    pub(crate) certificate: Option<Pinned>,
    /// Where a TCP port is to be taken from; `0..=0` leaves it to the system. Nonsense is an error
    /// for those only who want a port: Go hosts write what means nothing to plugins on unix sockets.
    pub(crate) ports: Result<RangeInclusive<u16>, InvalidEnvironment>,
    pub(crate) socket_dir: Option<PathBuf>,
    /// The name or number of the group that may connect to the socket.
    pub(crate) socket_group: Option<String>,
    pub(crate) multiplexing: Multiplexing,
}

/// What a host says of multiplexed connections of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Multiplexing {
    /// It does not know them, and would misunderstand a line that tells of them.
    Unknown,
    /// It knows them, and wants none.
    Off,
    On,
}

/// A variable that the host set cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEnvironment {
    variable: &'static str,
    value: String,
    problem: String,
}

impl Environment {
    /// For a plugin that nobody launched.
    pub(crate) const fn of_no_host() -> Self {
        Self {
            versions: Vec::new(),
            certificate: None,
            ports: Ok(0..=0),
            socket_dir: None,
            socket_group: None,
            multiplexing: Multiplexing::Unknown,
        }
    }

    /// None if the cookie is missing or wrong: then it was no host that started this program.
    pub(crate) fn read(
        cookie: &Cookie,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, InvalidEnvironment> {
        if variable(cookie.key()).is_none_or(|value| value != cookie.value()) {
            return Ok(None);
        }
        // Set but empty is not set: that is how upstream reads all of them.
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| {
            set(name)
                .map(|value| {
                    value.into_string().map_err(|value| {
                        InvalidEnvironment::new(name, &value.to_string_lossy(), "not UTF-8")
                    })
                })
                .transpose()
        };
        let port = |name| {
            text(name)?.map_or(Ok(0), |value| {
                value.parse().map_err(|_| {
                    InvalidEnvironment::new(name, &value, "not a port number, 0 to 65535")
                })
            })
        };
        let ports = || {
            let ports: RangeInclusive<u16> = port("PLUGIN_MIN_PORT")?..=port("PLUGIN_MAX_PORT")?;
            if ports.is_empty() {
                let problem = format!("more than PLUGIN_MAX_PORT, which is {}", ports.end());
                let min = ports.start().to_string();
                return Err(InvalidEnvironment::new("PLUGIN_MIN_PORT", &min, problem));
            }
            Ok(ports)
        };
        let certificate = text("PLUGIN_CLIENT_CERT")?
            .map(|pem| {
                Pinned::from_pem(pem.as_bytes()).map_err(|error| {
                    InvalidEnvironment::new("PLUGIN_CLIENT_CERT", &pem, error.to_string())
                })
            })
            .transpose()?;
        Ok(Some(Self {
            versions: versions(&text("PLUGIN_PROTOCOL_VERSIONS")?.unwrap_or_default()),
            certificate,
            ports: ports(),
            socket_dir: set("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            socket_group: text("PLUGIN_UNIX_SOCKET_GROUP")?,
            multiplexing: match text("PLUGIN_MULTIPLEX_GRPC")? {
                None => Multiplexing::Unknown,
                Some(word) if parse_bool(&word) == Some(true) => Multiplexing::On,
                Some(_) => Multiplexing::Off,
            },
        }))
    }
}

impl InvalidEnvironment {
    pub(crate) fn new(variable: &'static str, value: &str, problem: impl Into<String>) -> Self {
        let mut value = value.to_owned();
        if let Some((end, _)) = value.char_indices().nth(SHOWN) {
            value.truncate(end);
            value.push('…');
        }
        Self {
            variable,
            value,
            problem: problem.into(),
        }
    }

    /// The name of the variable.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable
    }
}

impl fmt::Display for InvalidEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            value,
            problem,
        } = self;
        write!(f, "{variable} is {value:?}: {problem}")
    }
}

impl std::error::Error for InvalidEnvironment {}

/// What is no number is told on stderr, in upstream's words, and passed over.
fn versions(list: &str) -> Vec<u32> {
    let mut versions = Vec::new();
    for version in list.split(',').filter(|version| !version.is_empty()) {
        match version.trim().parse() {
            Ok(version) => versions.push(version),
            Err(_) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "server sent invalid plugin version {version:?}"
                );
            }
        }
    }
    versions
}

#[cfg(test)]
mod tests;
