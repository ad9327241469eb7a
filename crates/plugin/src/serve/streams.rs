use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;
use yamux::Mode;

use super::server::serve;
use super::services::Services;
use crate::connection::{Socket, fresh};
use crate::line::Address;
use crate::mux::{BACKLOG, Over, Session};

/// Serves the streams of one connection, which came to `address`, but for those that the broker has
/// announced.
pub(super) async fn serve_streams(
    socket: Socket,
    address: Address,
    tls: Option<TlsAcceptor>,
    services: Services,
    mut draining: watch::Receiver<()>,
) {
    let (unannounced, mut incoming) = mpsc::channel(BACKLOG);
    let (session, driver) = Session::new(socket, Mode::Server, Some(unannounced));
    // Dropped with this future, it ends the connection.
    let driver = AbortOnDropHandle::new(tokio::spawn(driver));
    let services = services.over(Over::Session(session.clone(), address));
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = draining.changed() => break,
            Some(_) = streams.join_next() => {}
            stream = incoming.recv() => match stream {
                Some(stream) => {
                    let socket = fresh(Either::Right(stream));
                    let (tls, services) = (tls.clone(), services.clone());
                    streams.spawn(serve(socket, tls, services, draining.clone()));
                }
                // The connection has ended.
                None => break,
            },
        }
    }
    drop(incoming);
    while streams.join_next().await.is_some() {}
    // Those of the broker, which drain by themselves.
    session.inbound_over().await;
    // What was answered is still to leave.
    session.close();
    // An error would be that of a task that panicked.
    let _ = driver.await;
}
