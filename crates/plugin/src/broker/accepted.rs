use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use super::link::{Link, Listening};
use crate::connection::{Socket, fresh};
use crate::mux::MuxStream;
use crate::serve::{ACCEPT_AGAIN, DRAIN_WITHIN, Listener, serve};

/// A number that is [accepted](super::Broker::accept).
///
/// # Drop
/// Ends its connections, and the calls under way on them; its socket file goes a moment later, when
/// the runtime comes to it.
#[must_use = "what is accepted ends when this is dropped"]
pub struct Accepted {
    id: u32,
    closing: CancellationToken,
    serving: AbortOnDropHandle<()>,
}

/// Where the connections of one number come from.
pub(crate) enum Incoming {
    Socket(Listener),
    Streams(mpsc::Receiver<MuxStream>),
}

/// What serves the connections of one number.
struct Server {
    incoming: Incoming,
    tls: Option<TlsAcceptor>,
    services: Routes,
    closing: CancellationToken,
    /// The broker's stream.
    ended: CancellationToken,
    drain_within: Duration,
}

impl Accepted {
    pub(crate) fn serve<F>(
        link: &Arc<Link>,
        listening: Listening,
        incoming: Incoming,
        services: Routes,
        spawn: F,
    ) -> Self
    where
        F: FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> JoinHandle<()>,
    {
        let closing = CancellationToken::new();
        let server = Server {
            incoming,
            tls: link.tls().map(|tls| tls.accepting.clone()),
            services: services.prepare(),
            closing: closing.clone(),
            ended: link.ended().clone(),
            drain_within: DRAIN_WITHIN,
        };
        let id = listening.id();
        let serving = spawn(Box::pin(async move {
            server.run(listening).await;
        }));
        Self {
            id,
            closing,
            serving: AbortOnDropHandle::new(serving),
        }
    }

    /// The number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Accepts nothing more, and lets the calls under way finish, for at most 1.5 s. When it is
    /// over, the socket file is gone.
    ///
    /// # Cancel safety
    /// Dropped, it ends them at once.
    pub async fn close(self) {
        self.closing.cancel();
        // An error would be that of a task that panicked or was ended: then it is over too.
        let _ = self.serving.await;
    }

    /// Leaves it to the broker: it is served for as long as that lives.
    pub fn detach(self) {
        drop(self.serving.detach());
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Incoming {
    async fn accept(&mut self) -> io::Result<Socket> {
        match self {
            Self::Socket(listener) => listener.accept().await,
            Self::Streams(streams) => match streams.recv().await {
                Some(stream) => Ok(fresh(Either::Right(stream))),
                // Nobody accepts the number any more: the broker has ended.
                None => std::future::pending().await,
            },
        }
    }
}

impl Server {
    async fn run(mut self, listening: Listening) {
        let mut connections = JoinSet::new();
        let (drain, draining) = watch::channel(());
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                () = self.ended.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.incoming.accept() => match accepted {
                    Ok(socket) => {
                        let (tls, services) = (self.tls.clone(), self.services.clone());
                        connections.spawn(serve(socket, tls, services, draining.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn Error, "accept failed");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(self.incoming);
        drop(listening);
        drop(drain);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_within, drained).await.is_err() {
            tracing::warn!(within = ?self.drain_within, "brokered calls cut off: they took too long");
        }
        connections.shutdown().await;
    }
}
