use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tokio_util::sync::DropGuard;
use yamux::{Config, Connection, ConnectionError, Mode};

use super::{MOST_STREAMS, MuxStream, Order, Shared};
use crate::connection::Socket;

/// How long a stream that was opened waits to be taken: there are implementations that say so only when
/// they have something else to say.
const TAKEN_WITHIN: Duration = Duration::from_millis(100);

/// What moves the bytes of a [`Session`](super::Session).
pub(super) struct Driver {
    connection: Connection<Compat<Socket>>,
    orders: mpsc::Receiver<Option<Order>>,
    /// The order that waits until there may be another stream.
    order: Option<Option<Order>>,
    opened: Option<Opened>,
    shared: Arc<Shared>,
    unannounced: Option<mpsc::Sender<MuxStream>>,
    _ended: DropGuard,
}

/// A stream that the other side has not taken yet.
struct Opened {
    stream: MuxStream,
    order: Order,
    until: Pin<Box<Sleep>>,
}

impl Driver {
    pub(super) fn new(
        socket: Socket,
        mode: Mode,
        orders: mpsc::Receiver<Option<Order>>,
        shared: Arc<Shared>,
        unannounced: Option<mpsc::Sender<MuxStream>>,
    ) -> Self {
        let mut config = Config::default();
        // Windows of 256 KiB, as upstream: with this there is no room for larger ones.
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(MOST_STREAMS);
        config
            .set_max_connection_receive_window(Some(MOST_STREAMS * yamux::DEFAULT_CREDIT as usize));
        Self {
            connection: Connection::new(socket.compat(), config, mode),
            orders,
            order: None,
            opened: None,
            _ended: shared.ended.clone().drop_guard(),
            shared,
            unannounced,
        }
    }

    /// Until the connection ends, by either side.
    pub(super) async fn run(mut self) {
        let closing = self.shared.closing.clone();
        let ended = closing
            .run_until_cancelled(poll_fn(|cx| self.poll(cx)))
            .await;
        let ended = match ended {
            Some(ended) => ended,
            // Or there is nobody left who could open another.
            None => Ok(()),
        };
        let closed = match ended {
            Ok(()) => poll_fn(|cx| self.connection.poll_close(cx)).await,
            failed => failed,
        };
        if let Err(error) = closed {
            tracing::debug!(error = &error as &dyn Error, "multiplexed connection ended");
        }
    }

    /// Ready when it is to be closed, or has failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            if self.order.is_none() && self.opened.is_none() {
                match self.orders.poll_recv(cx) {
                    Poll::Ready(Some(order)) => self.order = Some(order),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            if self.order.is_some()
                && let Poll::Ready(stream) = self.connection.poll_new_outbound(cx)
            {
                // What it has to say is sent below.
                self.opened(stream?, cx);
            }
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => self.inbound(stream, cx),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(ConnectionError::Closed)),
                // Only now it has read all that there is.
                Poll::Pending => ready!(self.poll_taken(cx)),
            }
        }
    }

    fn opened(&mut self, stream: yamux::Stream, cx: &mut Context<'_>) {
        let mut stream = MuxStream::new(stream, None);
        stream.tell(cx);
        let Some(order) = self.order.take().flatten() else {
            return;
        };
        self.opened = Some(Opened {
            stream,
            order,
            until: Box::pin(sleep_until(Instant::now() + TAKEN_WITHIN)),
        });
    }

    /// Ready when there may be another order.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(opened) = &mut self.opened else {
            return Poll::Pending;
        };
        if !opened.stream.is_taken() {
            ready!(opened.until.as_mut().poll(cx));
        }
        if let Some(Opened { stream, order, .. }) = self.opened.take() {
            let Order { reply, turn } = order;
            // If nobody waits for it any more, it is reset.
            let _ = reply.send(stream);
            drop(turn);
        }
        Poll::Ready(())
    }

    fn inbound(&self, stream: yamux::Stream, cx: &mut Context<'_>) {
        let mut stream = MuxStream::new(stream, Some(&self.shared.inbound));
        stream.tell(cx);
        let door = self.shared.next_door();
        let Some(to) = door.as_ref().or(self.unannounced.as_ref()) else {
            tracing::debug!("multiplexed stream reset: nobody announced it");
            return;
        };
        if to.try_send(stream).is_err() {
            tracing::debug!("multiplexed stream reset: nobody takes it");
        }
    }
}
