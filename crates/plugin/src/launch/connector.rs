use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;
use tower_service::Service;

use super::error::{ConnectError, ConnectFailure};
use crate::broker::Link;
use crate::certificate::NAME;
use crate::connection::{Connection, Socket, fresh};
use crate::line::Address;
use crate::mux::Dialer;
use crate::tls;

/// Connects to a plugin: a service whose response is the connected stream, to speak HTTP/2 on.
///
/// What the request says is ignored, since a plugin listens in one place; it is always ready, and
/// clones connect to the same plugin. Of a plugin that multiplexes, each of its connections is a stream
/// of the one that there is.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    way: Way,
    tls: Option<Arc<ClientConfig>>,
    within: Duration,
}

/// How a connection is made.
#[derive(Clone)]
enum Way {
    Socket,
    /// As a stream over the connection that there is.
    Stream(Arc<Dialer>),
    /// As one that is announced to the other side.
    Knock(Arc<Link>, u32),
}

/// The future of a [`Connector`]; dropped, it closes what it opened.
pub struct Connecting(Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>);

impl Connector {
    pub(crate) const fn new(
        address: Address,
        tls: Option<Arc<ClientConfig>>,
        within: Duration,
    ) -> Self {
        Self {
            address,
            way: Way::Socket,
            tls,
            within,
        }
    }

    /// To where `dialer` opens streams.
    pub(crate) fn over(mut self, dialer: Arc<Dialer>) -> Self {
        self.way = Way::Stream(dialer);
        self
    }

    /// To what the other side of `link` accepts under a number.
    pub(crate) fn knocking(mut self, link: Arc<Link>, id: u32) -> Self {
        self.way = Way::Knock(link, id);
        self
    }

    /// A channel that begins with `first` and connects anew when that is lost.
    pub(crate) fn channel_over(&self, first: Connection) -> Channel {
        let mut first = Some(first);
        let connector = self.clone();
        let connect = tower::service_fn(move |_: tonic::transport::Uri| {
            let (first, connector) = (first.take(), connector.clone());
            async move {
                let connection = match first {
                    Some(connection) => connection,
                    None => connector.oneshot(()).await?,
                };
                Ok::<_, ConnectError>(TokioIo::new(connection))
            }
        });
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
    }

    /// Where the plugin listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    async fn connect(self) -> Result<Connection, ConnectError> {
        let place = self.address.to_string();
        let knocked = match &self.way {
            // This has limits of its own, which say what was awaited.
            Way::Knock(link, id) => match link.knock(*id).await {
                Ok(stream) => Some(fresh(Either::Right(stream))),
                Err(failure) => {
                    let failure = ConnectFailure::Brokered(Box::new(failure));
                    return Err(ConnectError::new(failure, place));
                }
            },
            Way::Socket | Way::Stream(_) => None,
        };
        let connecting = async {
            let socket = match (knocked, &self.way) {
                (Some(socket), _) => Ok(socket),
                (None, Way::Stream(dialer)) => {
                    dialer.open().await.map(|it| fresh(Either::Right(it)))
                }
                (None, _) => connect(&self.address).await,
            };
            let socket = socket.map_err(ConnectFailure::Socket)?;
            let Some(tls) = self.tls else {
                return Ok(socket.into());
            };
            let name = ServerName::try_from(NAME)
                .map_err(|error| ConnectFailure::Tls(io::Error::other(error)))?;
            let stream = TlsConnector::from(tls)
                .connect(name, socket)
                .await
                .map_err(ConnectFailure::Tls)?;
            tls::agreed_on_http2(stream.get_ref().1.alpn_protocol())
                .map_err(ConnectFailure::Tls)?;
            Ok(tokio_rustls::TlsStream::from(stream).into())
        };
        timeout(self.within, connecting)
            .await
            .unwrap_or(Err(ConnectFailure::Timeout(self.within)))
            .map_err(|failure| ConnectError::new(failure, place))
    }
}

impl<T> Service<T> for Connector {
    type Response = Connection;
    type Error = ConnectError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: T) -> Connecting {
        Connecting(Box::pin(self.clone().connect()))
    }
}

impl Future for Connecting {
    type Output = Result<Connection, ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

pub(crate) async fn connect(address: &Address) -> io::Result<Socket> {
    let socket = match address {
        Address::Unix(path) => Either::Left(UnixStream::connect(path).await?),
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Either::Right(stream)
        }
    };
    Ok(fresh(Either::Left(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_messages_are_not_held_back_on_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let socket = connect(&address).await.unwrap();
        let Either::Left(Either::Right(stream)) = socket.get_ref().get_ref() else {
            panic!("not a TCP socket")
        };
        assert!(stream.nodelay().unwrap());
    }
}
