use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// The version of the handshake itself; there has only ever been this one.
const CORE_VERSION: &str = "1";

/// Older plugins put other data where the certificate stands now; hosts tell them apart by length.
const SHORTEST_CERTIFICATE: usize = 51;

/// The one line by which a plugin tells its host where it listens:
/// `CORE|APP|NETWORK|ADDRESS|PROTOCOL|CERTIFICATE`, and `|true` if it multiplexes brokered connections
/// and was asked to.
///
/// [`Display`](fmt::Display) writes it, [`FromStr`] reads it; fields behind the seventh are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLine {
    version: u32,
    address: Address,
    certificate: Option<Vec<u8>>,
    multiplexing: bool,
}

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// The path of a unix socket.
    Unix(PathBuf),
    /// An IP address and port.
    Tcp(SocketAddr),
}

/// Why a line is not a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidLine {
    /// Fewer than four fields: this is some other output.
    NotAHandshake,
    /// The version of the handshake is not 1.
    CoreVersion(String),
    /// The app protocol version is not a number.
    AppVersion(String),
    /// The network is neither `unix` nor `tcp`.
    Network(String),
    /// The address does not fit the network.
    Address(String),
    /// The protocol is not `grpc`.
    Protocol(String),
    /// The certificate is not unpadded base64.
    Certificate(String),
}

impl HandshakeLine {
    /// A line for a plugin that chose the app protocol `version` and listens at `address`;
    /// `certificate` is the DER of the one it will show, or none if it serves without TLS.
    ///
    /// # Errors
    /// A path that is not UTF-8, is empty, or holds `|`, a line break or blanks at its end: it
    /// could not be read back.
    pub fn new(
        version: u32,
        address: Address,
        certificate: Option<Vec<u8>>,
    ) -> Result<Self, InvalidLine> {
        if let Address::Unix(path) = &address {
            let fits = path.to_str().is_some_and(|path| {
                !path.is_empty()
                    && path == path.trim()
                    && !path.contains(|c: char| c == '|' || c.is_control())
            });
            if !fits {
                return Err(InvalidLine::Address(path.display().to_string()));
            }
        }
        Ok(Self {
            version,
            address,
            certificate,
            multiplexing: false,
        })
    }

    /// The same of a plugin that multiplexes brokered connections. Hosts that did not ask for it
    /// misunderstand the line.
    #[must_use]
    pub const fn with_multiplexing(mut self) -> Self {
        self.multiplexing = true;
        self
    }

    /// Whether the plugin multiplexes brokered connections.
    #[must_use]
    pub const fn multiplexing(&self) -> bool {
        self.multiplexing
    }

    /// The app protocol version that the plugin chose.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Where the plugin listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The DER of the certificate that the plugin will show.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }
}

impl FromStr for HandshakeLine {
    type Err = InvalidLine;

    fn from_str(line: &str) -> Result<Self, InvalidLine> {
        let mut fields = line.trim().split('|');
        let (Some(core), Some(version), Some(network), Some(address)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(InvalidLine::NotAHandshake);
        };
        if core != CORE_VERSION {
            return Err(InvalidLine::CoreVersion(core.to_owned()));
        }
        let version = version
            .parse()
            .map_err(|_| InvalidLine::AppVersion(version.to_owned()))?;
        let address = Address::parse(network, address)?;
        match fields.next() {
            Some("grpc") => {}
            // What is not said is net/rpc: the protocol is older than its gRPC form.
            other => return Err(InvalidLine::Protocol(other.unwrap_or("netrpc").to_owned())),
        }
        let certificate = fields
            .next()
            .filter(|field| field.len() >= SHORTEST_CERTIFICATE)
            .map(|field| {
                BASE64_STANDARD_NO_PAD
                    .decode(field)
                    .map_err(|error| InvalidLine::Certificate(error.to_string()))
            })
            .transpose()?;
        let mut line = Self::new(version, address, certificate)?;
        line.multiplexing = fields.next().and_then(parse_bool) == Some(true);
        Ok(line)
    }
}

impl fmt::Display for HandshakeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            address,
            certificate,
            multiplexing,
        } = self;
        write!(f, "{CORE_VERSION}|{version}|{address}|grpc|")?;
        if let Some(der) = certificate {
            f.write_str(&BASE64_STANDARD_NO_PAD.encode(der))?;
        }
        if *multiplexing {
            f.write_str("|true")?;
        }
        Ok(())
    }
}

/// As upstream reads it; other words are no answer.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Address {
    pub(crate) fn parse(network: &str, address: &str) -> Result<Self, InvalidLine> {
        let invalid = || InvalidLine::Address(address.to_owned());
        match network {
            "unix" => Ok(Self::Unix(PathBuf::from(address))),
            "tcp" => match address.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 => Ok(Self::Tcp(address)),
                _ => Err(invalid()),
            },
            _ => Err(InvalidLine::Network(network.to_owned())),
        }
    }
}

/// The two fields of the line, `unix|/tmp/plugin1` or `tcp|127.0.0.1:10000`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix|{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp|{address}"),
        }
    }
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHandshake => f.write_str(
                "not a handshake, which is CORE|APP|NETWORK|ADDRESS|PROTOCOL|CERTIFICATE \
                 (does the program print something else first?)",
            ),
            Self::CoreVersion(found) => {
                write!(f, "handshake version is {found:?}, expected \"1\"")
            }
            Self::AppVersion(found) => write!(
                f,
                "app protocol version is {found:?}, expected a whole number"
            ),
            Self::Network(found) => {
                write!(f, "network is {found:?}, expected \"unix\" or \"tcp\"")
            }
            Self::Address(found) => {
                write!(f, "address is {found:?}, expected a socket path or IP:PORT")
            }
            Self::Protocol(found) => write!(f, "protocol is {found:?}, expected \"grpc\""),
            Self::Certificate(why) => {
                write!(f, "certificate is not base64 without padding: {why}")
            }
        }
    }
}

impl std::error::Error for InvalidLine {}

#[cfg(test)]
mod tests;
