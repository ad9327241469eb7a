mod accepted;
mod announcements;
mod error;
mod host;
mod knocks;
mod link;
mod service;
mod strays;

pub use accepted::Accepted;
pub use error::{BrokerError, BrokerFailure};
pub(crate) use host::HostBroker;
pub(crate) use link::{Link, Means};
pub(crate) use service::BrokerService;
pub(crate) use strays::Strays;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Channel;
use tower::ServiceExt as _;

use self::link::Outgoing;
use crate::launch::Connector;

/// How long one side waits for the other to do its part, as upstream.
pub(crate) const WITHIN: Duration = Duration::from_secs(5);

/// Makes further connections between a host and its plugin, in either direction: so a plugin can call
/// services of its host, and services can be made for one call.
///
/// One side [accepts](Self::accept) a number and serves services under it; it tells the number to
/// the other side in a message of its own, and that one [dials](Self::dial) it. Each may come first.
/// A connection is a socket of its own, next to the plugin's, or one of the streams of the plugin's
/// connection if the host [multiplexes](crate::Launcher::with_multiplexing), with the same mutual TLS.
///
/// A host gets it from [`Instance::broker`](crate::Instance::broker), a plugin from
/// [`Plugin::brokered`](crate::Plugin::brokered).
///
/// ```
/// use mainstay_plugin::{Broker, BrokerError};
/// use tonic::service::Routes;
/// # use tonic_health::pb::health_client::HealthClient as AddHelperClient;
///
/// /// On the one side: the number goes to the other in a request.
/// async fn offer(broker: &Broker, services: Routes) -> Result<(), BrokerError> {
///     let id = broker.next_id();
///     let accepted = broker.accept(id, services).await?;
///     // .. call the other side and tell it `id` ..
///     accepted.close().await;
///     Ok(())
/// }
///
/// /// On the other, which was told it.
/// async fn use_it(broker: &Broker, id: u32) -> Result<(), BrokerError> {
///     let helper = AddHelperClient::new(broker.dial(id).await?);
///     Ok(())
/// }
/// ```
///
/// # How it ends
/// With the connection between host and plugin: what is accepted then serves the calls under way for
/// at most 1.5 s, and every use of the broker fails with [`BrokerFailure::Closed`].
///
/// # Clone
/// A clone is the same broker, with the same numbers.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    last_id: AtomicU32,
    state: watch::Sender<State>,
    tasks: TaskTracker,
    /// Ends all tasks at once.
    abort: CancellationToken,
}

#[derive(Clone)]
enum State {
    /// The host has not opened the stream yet.
    Waiting,
    Open(Arc<Link>),
    /// Why; `for_good` if no other stream may come.
    Closed {
        why: Arc<str>,
        for_good: bool,
    },
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            last_id: AtomicU32::new(0),
            state: watch::Sender::new(State::Waiting),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
        }))
    }

    /// A number that this side has not used, from 1 upwards; after 2³² of them they come again.
    ///
    /// The other side counts too, and the numbers of both are the same: a number belongs to the side
    /// that accepts it.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.0
            .last_id
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    /// Serves `services` to the other side under the number `id`, on any number of connections,
    /// until the value it returns is dropped or closed, or the broker ends.
    ///
    /// It waits for the host to have opened the broker's stream, however long that takes.
    ///
    /// # Errors
    /// If this side accepts the number already, there is nothing to listen on, or the broker has
    /// ended.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    ///
    /// # Cancel safety
    /// Dropped, it closes what it opened.
    pub async fn accept(&self, id: u32, services: Routes) -> Result<Accepted, BrokerError> {
        let failed = |failure| BrokerError::new(id, failure);
        let link = self.link().await.map_err(failed)?;
        let (incoming, listening) = link.listen(id).await.map_err(failed)?;
        let abort = self.0.abort.clone();
        Ok(Accepted::serve(
            &link,
            listening,
            incoming,
            services,
            |serving| self.spawn_until(abort, serving),
        ))
    }

    /// Connects to what the other side accepts under the number `id`, for generated clients.
    ///
    /// The channel connects again if its connection is lost, to the same socket, or by another knock.
    ///
    /// # Errors
    /// If the stream of the broker is not open, or the other side has not accepted the number, within
    /// 5 s; if what it announced is no address or cannot be connected to (5 s); if the broker has
    /// ended. Multiplexed connections are made one at a time, and wait for those before them for at
    /// most 10 s.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    ///
    /// # Cancel safety
    /// Dropped, it leaves what was announced to the next who dials.
    pub async fn dial(&self, id: u32) -> Result<Channel, BrokerError> {
        let connector = self.connector(id).await?;
        let first = connector.clone().oneshot(()).await;
        let first = first.map_err(|error| BrokerError::not_connected(id, error))?;
        Ok(connector.channel_over(first))
    }

    /// As [`dial`](Self::dial), for clients that speak HTTP/2 themselves: waits for the address, and
    /// leaves the connecting to the caller. If connections are multiplexed there is no address to wait
    /// for, and connecting is what finds out whether the number is accepted.
    ///
    /// # Errors
    /// As those of [`dial`](Self::dial) but for the connecting.
    ///
    /// # Cancel safety
    /// As that of [`dial`](Self::dial).
    pub async fn connector(&self, id: u32) -> Result<Connector, BrokerError> {
        let failed = |failure| BrokerError::new(id, failure);
        let until = Instant::now() + WITHIN;
        let link = timeout_at(until, self.link())
            .await
            .unwrap_or(Err(BrokerFailure::NotOpen(WITHIN)))
            .map_err(failed)?;
        link.connector(id, until).await.map_err(failed)
    }

    /// The stream is open from here on; one that was before ends.
    pub(crate) fn open(&self, means: Means) -> (Arc<Link>, Outgoing) {
        let (link, outgoing) = Link::new(means);
        let mut before = None;
        self.0.state.send_modify(|state| match state {
            // Nobody comes to know it: it has ended before it began.
            State::Closed { for_good: true, .. } => link.end(),
            _ => before = Some(std::mem::replace(state, State::Open(Arc::clone(&link)))),
        });
        if let Some(State::Open(before)) = before {
            before.end();
        }
        (link, outgoing)
    }

    /// The stream has ended, and with it all that came of it.
    pub(crate) fn ended(&self, link: &Arc<Link>, why: &str) {
        link.end();
        self.0.state.send_if_modified(|state| match state {
            State::Open(open) if Arc::ptr_eq(open, link) => {
                *state = State::Closed {
                    why: why.into(),
                    for_good: false,
                };
                true
            }
            _ => false,
        });
    }

    /// Ends it for good; calls under way may finish.
    pub(crate) fn close(&self, why: &str) {
        let closed = State::Closed {
            why: why.into(),
            for_good: true,
        };
        if let State::Open(link) = self.0.state.send_replace(closed) {
            link.end();
        }
    }

    /// Ends it for good and at once.
    pub(crate) fn abort(&self, why: &str) {
        self.close(why);
        self.0.abort.cancel();
    }

    /// Resolves when it was closed and no task is left.
    pub(crate) async fn finished(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.spawn_until(self.0.abort.clone(), task)
    }

    fn spawn_until(
        &self,
        abort: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.0.tasks.spawn(async move {
            abort.run_until_cancelled_owned(task).await;
        })
    }

    fn is_open(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Open(_))
    }

    async fn link(&self) -> Result<Arc<Link>, BrokerFailure> {
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Waiting));
        // An error would mean that there is no sender, and `self` holds one.
        match state.await.map(|state| state.clone()) {
            Ok(State::Open(link)) => Ok(link),
            Ok(State::Closed { why, .. }) => Err(BrokerFailure::Closed(why)),
            Ok(State::Waiting) | Err(_) => Err(BrokerFailure::Closed("it is gone".into())),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("open", &self.is_open())
            .field("last_id", &self.0.last_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
