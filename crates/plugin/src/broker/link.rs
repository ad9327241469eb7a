use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use super::accepted::Incoming;
use super::announcements::{Announcement, Announcements, parse};
use super::knocks::{Accepting, Knocking};
use super::{BrokerFailure, Strays, WITHIN};
use crate::generated::ConnInfo;
use crate::launch::Connector;
use crate::line::Address;
use crate::mux::{BACKLOG, Over, Session};
use crate::serve::Place;
use crate::tls::Tls;

/// How many messages wait to be sent.
const OUTBOX: usize = 16;

/// What brokered connections are made of.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) place: Place,
    pub(crate) tls: Option<Tls>,
    /// What the other side leaves behind that this one removes.
    pub(crate) strays: Option<Arc<Strays>>,
    /// Where there are no sockets of their own.
    pub(crate) over: Option<Over>,
}

/// A broker's stream while it is open, and all that lives no longer.
#[derive(Debug)]
pub(crate) struct Link {
    means: Means,
    outbox: mpsc::Sender<ConnInfo>,
    announcements: Mutex<Announcements>,
    accepting: Mutex<Accepting>,
    /// Who waits for the answer to a knock; there is one at a time.
    knocking: Mutex<Option<Knocking>>,
    ended: CancellationToken,
}

/// What this side writes to the stream; the link ends when it is dropped.
pub(crate) struct Outgoing {
    messages: mpsc::Receiver<ConnInfo>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    link: Arc<Link>,
}

/// A number that is accepted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    link: Arc<Link>,
    id: u32,
}

/// Somebody who waits for an announcement.
struct Dial<'a> {
    link: &'a Link,
    id: u32,
    announcement: oneshot::Receiver<Announcement>,
}

impl Link {
    pub(crate) fn new(means: Means) -> (Arc<Self>, Outgoing) {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let ended = CancellationToken::new();
        let link = Arc::new(Self {
            means,
            outbox,
            announcements: Mutex::default(),
            accepting: Mutex::default(),
            knocking: Mutex::default(),
            ended: ended.clone(),
        });
        let outgoing = Outgoing {
            messages,
            ended: Box::pin(ended.cancelled_owned()),
            link: Arc::clone(&link),
        };
        (link, outgoing)
    }

    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) const fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.means.tls.as_ref()
    }

    /// Reads what the other side writes to the stream, to its end; returns why it ended.
    pub(crate) async fn run(
        &self,
        mut incoming: impl Stream<Item = Result<ConnInfo, Status>> + Unpin,
    ) -> String {
        loop {
            let expiry = self.announcements().next_expiry();
            let expired = async {
                match expiry {
                    Some(expiry) => sleep_until(expiry).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.ended.cancelled() => return "its connection has ended".to_owned(),
                () = expired => self.announcements().expire(Instant::now()),
                message = incoming.next() => match message {
                    Some(Ok(message)) => self.received(&message).await,
                    Some(Err(status)) => return format!("its stream failed: {status}"),
                    None => return "the other side has closed its stream".to_owned(),
                },
            }
        }
    }

    async fn received(&self, message: &ConnInfo) {
        let id = message.service_id;
        match (&message.knock, self.means.over.is_some()) {
            (None, false) => {}
            (Some(knock), true) => return self.knocked(id, knock).await,
            (Some(_), false) => {
                tracing::debug!(id, "knock ignored: the connection is not multiplexed");
                return;
            }
            (None, true) => {
                tracing::debug!(id, "announcement ignored: the connection is multiplexed");
                return;
            }
        }
        let announcement = parse(&message.network, &message.address);
        if let (Some(strays), Ok(address)) = (&self.means.strays, &announcement) {
            strays.note(address);
        }
        let now = Instant::now();
        if !self.announcements().announced(id, announcement, now) {
            tracing::debug!(
                id,
                "announcement dropped: another waits already, or too many"
            );
        }
    }

    /// Listens under a number, and tells the other side.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        id: u32,
    ) -> Result<(Incoming, Listening), BrokerFailure> {
        let (streams, incoming) = mpsc::channel(BACKLOG);
        if !self.accepting().begin(id, streams) {
            return Err(BrokerFailure::Taken);
        }
        let listening = Listening {
            link: Arc::clone(self),
            id,
        };
        if self.means.over.is_some() {
            self.answer_knocks(id).await?;
            return Ok((Incoming::Streams(incoming), listening));
        }
        let failed = |source| BrokerFailure::Listen {
            place: self.means.place.to_string(),
            source,
        };
        let listener = self.means.place.bind().map_err(failed)?;
        let (network, address) = match listener.address().map_err(failed)? {
            Address::Unix(path) => {
                let path = path.into_os_string().into_string().map_err(|path| {
                    failed(std::io::Error::other(format!("{path:?} is not UTF-8")))
                })?;
                ("unix", path)
            }
            Address::Tcp(address) => ("tcp", address.to_string()),
        };
        let message = ConnInfo {
            service_id: id,
            network: network.to_owned(),
            address,
            knock: None,
        };
        self.send(message).await?;
        Ok((Incoming::Socket(listener), listening))
    }

    pub(super) async fn send(&self, message: ConnInfo) -> Result<(), BrokerFailure> {
        let sent = self.ended.run_until_cancelled(self.outbox.send(message));
        match sent.await {
            Some(Ok(())) => Ok(()),
            _ => Err(ended()),
        }
    }

    /// Waits for the address of a number, if it has one.
    pub(crate) async fn connector(
        self: &Arc<Self>,
        id: u32,
        until: Instant,
    ) -> Result<Connector, BrokerFailure> {
        let tls = self.means.tls.as_ref();
        let tls = tls.map(|tls| Arc::clone(&tls.connecting));
        if let Some(over) = &self.means.over {
            let connector = Connector::new(over.address().clone(), tls, WITHIN);
            return Ok(connector.knocking(Arc::clone(self), id));
        }
        let mut dial = Dial {
            link: self,
            id,
            announcement: self.announcements().dial(id, Instant::now()),
        };
        let announced = self.ended.run_until_cancelled(&mut dial.announcement);
        match timeout_at(until, announced).await {
            Ok(Some(Ok(Ok(address)))) => Ok(Connector::new(address, tls, WITHIN)),
            Ok(Some(Ok(Err(error)))) => Err(BrokerFailure::Announcement(error)),
            Ok(_) => Err(ended()),
            Err(_) => Err(BrokerFailure::NotAnnounced(WITHIN)),
        }
    }

    #[cfg(test)]
    pub(crate) async fn received_for_tests(&self, message: &ConnInfo) {
        self.received(message).await;
    }

    /// How many announcements are kept.
    #[cfg(test)]
    pub(crate) fn kept_for_tests(&self) -> usize {
        self.announcements().unclaimed()
    }

    fn announcements(&self) -> MutexGuard<'_, Announcements> {
        // No code of others runs under it.
        self.announcements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn accepting(&self) -> MutexGuard<'_, Accepting> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn knocking(&self) -> MutexGuard<'_, Option<Knocking>> {
        self.knocking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> Option<Session> {
        self.means.over.as_ref().and_then(Over::session)
    }
}

pub(super) fn ended() -> BrokerFailure {
    BrokerFailure::Closed("its connection has ended".into())
}

impl Listening {
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }
}

impl Stream for Outgoing {
    type Item = ConnInfo;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnInfo>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.messages.poll_recv(cx)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.link.end();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.link.accepting().end(self.id);
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.announcement.close();
        let mut announcements = self.link.announcements();
        match self.announcement.try_recv() {
            // It came, and was not looked at: it is the next one's.
            Ok(announcement) => {
                announcements.announced(self.id, announcement, Instant::now());
            }
            Err(_) => announcements.forget(self.id),
        }
    }
}
