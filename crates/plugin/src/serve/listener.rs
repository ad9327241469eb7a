use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, TcpListener as StdTcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use tempfile::TempPath;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::either::Either;

use super::environment::{Environment, InvalidEnvironment};
use super::error::ServeError;
use crate::connection::{Socket, fresh};
use crate::line::Address;

/// What a plugin listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A unix socket with a fresh name, in `PLUGIN_UNIX_SOCKET_DIR` or the directory for temporary
    /// files; removed when the plugin ends.
    ///
    /// Hosts whose gRPC is that of Python, C++ or Java may name the socket's path as the authority of
    /// their requests, which is no valid one, and the HTTP/2 implementation here resets such calls with
    /// PROTOCOL_ERROR; serve those over [`Tcp`](Self::Tcp).
    #[default]
    Unix,
    /// A port of 127.0.0.1, between `PLUGIN_MIN_PORT` and `PLUGIN_MAX_PORT`.
    Tcp,
}

/// Where listeners are bound: the plugin's own, and those of brokered connections.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A fresh socket in `dir`, to which `group` may connect too.
    Unix { dir: PathBuf, group: Option<u32> },
    /// The first port of 127.0.0.1 that is free; `0..=0` leaves it to the system.
    Tcp(RangeInclusive<u16>),
}

/// A bound listener; its socket file goes when it is dropped.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener, TempPath),
    Tcp(TcpListener),
}

impl Place {
    /// What the host wants of a plugin that listens in this way.
    pub(crate) fn new(transport: Transport, environment: &Environment) -> Result<Self, ServeError> {
        match transport {
            Transport::Unix => {
                let dir = environment.socket_dir.clone();
                Ok(Self::Unix {
                    dir: dir.unwrap_or_else(std::env::temp_dir),
                    group: environment.socket_group.as_deref().map(gid).transpose()?,
                })
            }
            Transport::Tcp => Ok(Self::Tcp(environment.ports.clone()?)),
        }
    }

    /// A new listener there.
    pub(crate) fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Unix { dir, group } => unix(dir, *group),
            Self::Tcp(ports) => tcp(ports.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { dir, .. } => write!(f, "a unix socket in {}", dir.display()),
            Self::Tcp(ports) => {
                write!(
                    f,
                    "a port of 127.0.0.1 in {}..={}",
                    ports.start(),
                    ports.end()
                )
            }
        }
    }
}

fn unix(dir: &Path, group: Option<u32>) -> io::Result<Listener> {
    // The other side may have another working directory, and it gets the path as written.
    let dir = std::path::absolute(dir)?;
    let (listener, path) = tempfile::Builder::new()
        .prefix("plugin")
        .rand_bytes(10)
        .make_in(&dir, |path| UnixListener::bind(path))?
        .into_parts();
    if let Some(gid) = group {
        std::os::unix::fs::chown(&path, None, Some(gid))?;
        fs::set_permissions(&path, Permissions::from_mode(0o660))?;
    }
    Ok(Listener::Unix(listener, path))
}

fn tcp(ports: RangeInclusive<u16>) -> io::Result<Listener> {
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for port in ports {
        match StdTcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(Listener::Tcp(TcpListener::from_std(listener)?));
            }
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

impl Listener {
    pub(crate) fn bind(
        transport: Transport,
        environment: &Environment,
    ) -> Result<Self, ServeError> {
        let place = Place::new(transport, environment)?;
        place.bind().map_err(|source| ServeError::Listen {
            place: place.to_string(),
            source,
        })
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Unix(_, path) => Ok(Address::Unix(PathBuf::from(AsRef::<OsStr>::as_ref(path)))),
            Self::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?)),
        }
    }

    pub(crate) fn socket_file(&self) -> Option<&Path> {
        match self {
            Self::Unix(_, path) => Some(path),
            Self::Tcp(_) => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        let socket = match self {
            Self::Unix(listener, _) => Either::Left(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Either::Right(stream)
            }
        };
        Ok(fresh(Either::Left(socket)))
    }
}

fn gid(group: &str) -> Result<u32, ServeError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let problem = match Group::from_name(group) {
        Ok(Some(group)) => return Ok(group.gid.as_raw()),
        Ok(None) => "no such group".to_owned(),
        Err(error) => format!("the group could not be looked up: {error}"),
    };
    Err(ServeError::Environment(InvalidEnvironment::new(
        "PLUGIN_UNIX_SOCKET_GROUP",
        group,
        problem,
    )))
}

#[cfg(test)]
mod tests;
