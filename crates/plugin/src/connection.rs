use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_util::either::Either;

use crate::heard_out::HeardOut;
use crate::mux::MuxStream;
use crate::wire::{Wire, Wired};

/// A connected stream between a host and a plugin, inside TLS where that is used.
///
/// What is read and written here is HTTP/2. What is written when the other side does not read any more
/// is lost, as it would be on its way, and is no error: what it has said before can still be read, and
/// then its end, or the error.
#[derive(Debug)]
pub struct Connection(Either<Socket, Box<TlsStream<Socket>>>);

/// What lies below TLS.
///
/// What does not leave because the other side has closed is not counted.
pub(crate) type Socket = HeardOut<Wired<Carrier>>;

/// What carries it: a socket, or one of the streams that share one.
pub(crate) type Carrier = Either<Either<UnixStream, TcpStream>, MuxStream>;

/// One that nothing was written to yet.
pub(crate) fn fresh(carrier: Carrier) -> Socket {
    HeardOut::new(Wired::new(carrier))
}

impl Connection {
    /// What tells whether anything left through the socket, below TLS.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        match &self.0 {
            Either::Left(socket) => socket.get_ref().wire(),
            Either::Right(stream) => stream.get_ref().0.get_ref().wire(),
        }
    }
}

impl From<Socket> for Connection {
    fn from(socket: Socket) -> Self {
        Self(Either::Left(socket))
    }
}

impl From<TlsStream<Socket>> for Connection {
    fn from(stream: TlsStream<Socket>) -> Self {
        Self(Either::Right(Box::new(stream)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
