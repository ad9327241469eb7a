use std::ffi::OsStr;
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
use crate::connection::Socket;
use crate::heard_out::HeardOut;
use crate::line::Address;
use crate::wire::Wired;

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

/// A bound listener; its socket file goes when it is dropped.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener, TempPath),
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn bind(
        transport: Transport,
        environment: &Environment,
    ) -> Result<Self, ServeError> {
        match transport {
            Transport::Unix => Self::unix(environment),
            Transport::Tcp => Self::tcp(environment.ports.clone()?),
        }
    }

    fn unix(environment: &Environment) -> Result<Self, ServeError> {
        let dir = environment
            .socket_dir
            .clone()
            .unwrap_or_else(std::env::temp_dir);
        let failed = |source| ServeError::Listen {
            place: format!("a unix socket in {}", dir.display()),
            source,
        };
        // The host may have another working directory, and it gets the path as written.
        let dir = std::path::absolute(&dir).map_err(failed)?;
        let group = environment.socket_group.as_deref().map(gid).transpose()?;
        let (listener, path) = tempfile::Builder::new()
            .prefix("plugin")
            .rand_bytes(10)
            .make_in(&dir, |path| UnixListener::bind(path))
            .map_err(failed)?
            .into_parts();
        if let Some(gid) = group {
            std::os::unix::fs::chown(&path, None, Some(gid))
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o660)))
                .map_err(failed)?;
        }
        Ok(Self::Unix(listener, path))
    }

    fn tcp(ports: RangeInclusive<u16>) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen {
            place: format!("a port of 127.0.0.1 in {}..={}", ports.start(), ports.end()),
            source,
        };
        let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports.clone() {
            match StdTcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(listener) => {
                    listener.set_nonblocking(true).map_err(failed)?;
                    return Ok(Self::Tcp(TcpListener::from_std(listener).map_err(failed)?));
                }
                Err(error) => taken = error,
            }
        }
        Err(failed(taken))
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
        Ok(HeardOut::new(Wired::new(socket)))
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
