use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::connection::Conn;
use super::dns::Names;

type BoxError = Box<dyn Error + Send + Sync>;

/// What connections are made to, and told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) is_tls: bool,
    /// Without a port that is the scheme's own.
    pub(crate) authority: Authority,
}

/// Makes connections: looks up the name, tries its addresses, and speaks TLS where it is asked for.
#[derive(Clone)]
pub(crate) struct Connector {
    names: Names,
    tls: Tls,
}

/// Reads the roots of the system when they are needed first, unless it was given others.
#[derive(Clone)]
pub(crate) struct Tls {
    given: Option<Arc<ClientConfig>>,
    ready: Arc<OnceCell<TlsConnector>>,
}

/// The system has no roots that servers' certificates could be verified by.
#[derive(Debug)]
pub(crate) struct NoRoots(Option<rustls_native_certs::Error>);

/// After that the next address is tried as well ("Connection Attempt Delay" of RFC 8305).
const NEXT_AFTER: Duration = Duration::from_millis(250);

impl Target {
    /// Of an absolute URI.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        Some(Self {
            is_tls: match uri.scheme_str()? {
                "http" => false,
                "https" => true,
                _ => return None,
            },
            authority: uri.authority()?.clone(),
        })
    }

    fn port(&self) -> u16 {
        let default = if self.is_tls { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Without the brackets of IPv6.
    fn host(&self) -> &str {
        let host = self.authority.host();
        let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        inner.unwrap_or(host)
    }
}

impl Connector {
    pub(crate) const fn new(names: Names, tls: Tls) -> Self {
        Self { names, tls }
    }

    async fn connect(self, target: Target) -> Result<Conn, BoxError> {
        let stream = self.reach(&target).await?;
        stream.set_nodelay(true)?;
        if !target.is_tls {
            return Ok(Conn::open(stream, false).await?);
        }
        let name = ServerName::try_from(target.host().to_owned())?;
        let stream = self.tls.ready().await?.connect(name, stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Conn::open(stream, is_http2).await?)
    }

    async fn reach(&self, target: &Target) -> Result<TcpStream, BoxError> {
        let port = target.port();
        if let Ok(address) = target.host().parse::<IpAddr>() {
            return Ok(TcpStream::connect((address, port)).await?);
        }
        let found = self.names.addresses(target.host()).await?;
        let addresses = interleave(&found).map(|ip| SocketAddr::new(ip, port));
        Ok(first_of(addresses).await?)
    }
}

/// Tries one address after the other, without waiting for long for any: the first that answers.
async fn first_of(mut addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut tries = JoinSet::new();
    let mut last_error = io::ErrorKind::AddrNotAvailable.into();
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            tries.spawn(TcpStream::connect(address));
        }
        let wait = if is_last { Duration::MAX } else { NEXT_AFTER };
        match timeout(wait, tries.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last_error = error,
            Ok(Some(Err(error))) => last_error = error.into(),
            Ok(None) => return Err(last_error),
            Err(_) => {}
        }
    }
}

/// The families by turns, beginning with that of the first.
fn interleave(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for &it in addresses {
        if it.is_ipv6() == first_is_v6 {
            first.push(it);
        } else {
            second.push(it);
        }
    }
    let length = first.len().max(second.len());
    (0..length)
        .flat_map(move |at| [first.get(at).copied(), second.get(at).copied()])
        .flatten()
}

impl Service<Target> for Connector {
    type Response = Conn;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        Box::pin(self.clone().connect(target))
    }
}

impl Tls {
    pub(crate) fn new(given: Option<Arc<ClientConfig>>) -> Self {
        Self {
            given,
            ready: Arc::default(),
        }
    }

    async fn ready(&self) -> Result<&TlsConnector, BoxError> {
        let make = || async {
            let mut config = match &self.given {
                Some(given) => ClientConfig::clone(given),
                // It reads files.
                None => spawn_blocking(with_roots_of_the_system).await??,
            };
            if config.alpn_protocols.is_empty() {
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            }
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.ready.get_or_try_init(make).await
    }
}

fn with_roots_of_the_system() -> Result<ClientConfig, BoxError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(NoRoots(found.errors.into_iter().next()).into());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Display for NoRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system has no root certificates: install ca-certificates, or use with_tls")
    }
}

impl Error for NoRoots {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|it| it as _)
    }
}
