use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic_health::pb::health_check_response::ServingStatus;
use tower_service::Service;

use super::listener::Listener;
use super::services::Services;
use super::stop::{Phase, Stop};
use super::streams::serve_streams;
use crate::connection::{Connection, Socket};
use crate::line::Address;
use crate::tls;

/// A host that connects must be done with TLS by then.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepting fails at once and again while no descriptor is free; this keeps it from spinning.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How many calls a host may take back before they were looked at. Meant against strangers, the
/// default of 20 ends the connection of a host that drops a burst of calls.
const MAX_CALLS_TAKEN_BACK: usize = 10_000;

/// Serves HTTP/2 on a listener until it is told to stop, then drains.
pub(crate) struct Server {
    pub(crate) listener: Listener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) services: Services,
    pub(crate) health: watch::Sender<ServingStatus>,
    pub(crate) stop: Stop,
    pub(crate) drain_within: Duration,
    /// If connections carry streams: the address that they come to.
    pub(crate) multiplexed: Option<Address>,
}

impl Server {
    /// Returns when no connection is left.
    pub(crate) async fn run(self) {
        let mut connections = JoinSet::new();
        let (drain, draining) = watch::channel(());
        loop {
            tokio::select! {
                // First, so that a host that connects again and again cannot put it off.
                biased;
                () = self.stop.reached(Phase::Draining) => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok(socket) => {
                        let (tls, services) = (self.tls.clone(), self.services.clone());
                        let draining = draining.clone();
                        match self.multiplexed.clone() {
                            None => connections.spawn(serve(socket, tls, services, draining)),
                            Some(at) => {
                                connections.spawn(serve_streams(socket, at, tls, services, draining))
                            }
                        };
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn Error, "accept failed");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(self.listener);
        self.health.send_replace(ServingStatus::NotServing);
        // Without a sender the health watches end, and without `drain` the connections begin to.
        drop(self.health);
        drop(drain);
        let drained = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            drained = timeout(self.drain_within, drained) => if drained.is_err() {
                tracing::warn!(within = ?self.drain_within, "calls cut off: the drain took too long");
            },
            () = self.stop.reached(Phase::Ending) => {}
        }
        connections.shutdown().await;
    }
}

/// Serves one connection; when the sender of `draining` goes, it finishes the calls under way.
pub(crate) async fn serve<S>(
    socket: Socket,
    tls: Option<TlsAcceptor>,
    services: S,
    mut draining: watch::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let connection: Connection = match tls {
        None => socket.into(),
        Some(tls) => tokio::select! {
            secured = timeout(TLS_HANDSHAKE, secure(tls, socket)) => match secured {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn Error, "connection refused");
                    return;
                }
                Err(_) => {
                    tracing::warn!(within = ?TLS_HANDSHAKE, "connection refused: no TLS handshake");
                    return;
                }
            },
            _ = draining.changed() => return,
        },
    };
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .max_concurrent_streams(None)
        .max_pending_accept_reset_streams(MAX_CALLS_TAKEN_BACK);
    let service = TowerToHyperService::new(services);
    let mut serving = std::pin::pin!(http2.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = draining.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn Error, "connection ended");
    }
}

async fn secure(tls: TlsAcceptor, socket: Socket) -> io::Result<Connection> {
    let stream = tls.accept(socket).await?;
    tls::agreed_on_http2(stream.get_ref().1.alpn_protocol())?;
    Ok(tokio_rustls::TlsStream::from(stream).into())
}
