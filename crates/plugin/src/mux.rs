//! Many streams over one connection: yamux, as upstream's hosts and plugins use it for the broker.
//!
//! Streams come in the order in which they were opened, and nothing else says what they are for. So
//! who accepts keeps a row of [doors](Session::open_door), one for each stream that was announced;
//! who opens takes [turns](Session::turn), and opens none before the other side has taken the last.

mod dialer;
mod driver;
mod stream;

pub(crate) use dialer::{Dialer, Over};
pub(crate) use stream::MuxStream;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yamux::Mode;

use self::driver::Driver;
use crate::connection::Socket;

/// How many streams there can be at once, over which the connection ends.
const MOST_STREAMS: usize = 4096;

/// How many streams wait for who serves them, as upstream.
pub(crate) const BACKLOG: usize = 256;

/// How many orders to open a stream wait.
const ORDERS: usize = 16;

/// How long a door stays open for a stream that was announced. Who announces it opens it at once.
const DOOR_WITHIN: Duration = Duration::from_secs(5);

/// One connection of many streams; it ends when all clones are gone.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// None for a stream that nobody wants any more, but the other side has a door open for.
    orders: mpsc::Sender<Option<Order>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    doors: Mutex<VecDeque<Door>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The streams that the other side has opened.
    inbound: TaskTracker,
    closing: CancellationToken,
    ended: CancellationToken,
}

/// Whose turn it is to open a stream, until the other side has taken it.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// To open a stream. Dropped before it is open, it is as if the session had ended.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) reply: oneshot::Sender<MuxStream>,
    pub(crate) turn: Turn,
}

/// Where the next stream that the other side opens goes.
#[derive(Debug)]
struct Door {
    to: mpsc::Sender<MuxStream>,
    until: Instant,
}

impl Session {
    /// Over a connection, in whose task the second is run; streams for which there is no door go to
    /// `unannounced`, or are reset.
    pub(crate) fn new(
        socket: Socket,
        mode: Mode,
        unannounced: Option<mpsc::Sender<MuxStream>>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let shared = Arc::new(Shared {
            doors: Mutex::default(),
            turn: Arc::default(),
            inbound: TaskTracker::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let driver = Driver::new(socket, mode, receiver, Arc::clone(&shared), unannounced);
        (Self { orders, shared }, driver.run())
    }

    /// Who opens a stream must have it, and those who wait get it in this order.
    pub(crate) async fn turn(&self) -> Turn {
        Arc::clone(&self.shared.turn).lock_owned().await
    }

    /// Opens a stream that was not announced.
    pub(crate) async fn open(&self) -> io::Result<MuxStream> {
        let turn = self.turn().await;
        let (reply, opened) = oneshot::channel();
        self.order(Some(Order { reply, turn })).await;
        opened
            .await
            .map_err(|_| io::Error::other("the multiplexed connection has ended"))
    }

    /// Opens a stream, after those of earlier calls; one that nobody wants is reset at once.
    pub(crate) async fn order(&self, order: Option<Order>) {
        // If it has ended, the sender of the reply goes, which says so.
        let _ = self.orders.send(order).await;
    }

    /// The stream that comes after those for which there is a door goes there. False if there are too
    /// many.
    pub(crate) fn open_door(&self, to: mpsc::Sender<MuxStream>) -> bool {
        let now = Instant::now();
        let mut doors = self.shared.doors();
        doors.retain(|door| door.until > now);
        if doors.len() == BACKLOG {
            return false;
        }
        let until = now + DOOR_WITHIN;
        doors.push_back(Door { to, until });
        true
    }

    /// Resolves when none of the streams that the other side opened is left.
    pub(crate) async fn inbound_over(&self) {
        self.shared.inbound.close();
        self.shared.inbound.wait().await;
    }

    /// Ends it when what was written has left.
    pub(crate) fn close(&self) {
        self.shared.closing.cancel();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.is_cancelled()
    }
}

impl Shared {
    fn next_door(&self) -> Option<mpsc::Sender<MuxStream>> {
        let now = Instant::now();
        let mut doors = self.doors();
        while let Some(door) = doors.pop_front() {
            if door.until > now {
                return Some(door.to);
            }
            tracing::debug!("a multiplexed stream was announced and did not come");
        }
        None
    }

    fn doors(&self) -> MutexGuard<'_, VecDeque<Door>> {
        // No code of others runs under it.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
