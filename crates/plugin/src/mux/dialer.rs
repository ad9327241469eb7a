use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use yamux::Mode;

use super::{MuxStream, Session};
use crate::launch::connect;
use crate::line::Address;

/// Opens streams to a plugin, all over one connection, which is made anew when it is lost.
#[derive(Debug)]
pub(crate) struct Dialer {
    address: Address,
    session: Mutex<Option<Session>>,
    connecting: tokio::sync::Mutex<()>,
}

/// The session that brokered connections go over.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    /// Of a host: the present one.
    Dialer(Arc<Dialer>),
    /// Of a plugin: that on which the host has opened the broker's stream.
    Session(Session, Address),
}

impl Dialer {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            session: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) async fn open(&self) -> io::Result<MuxStream> {
        let session = {
            let _one_at_a_time = self.connecting.lock().await;
            match self.session() {
                Some(session) => session,
                None => {
                    let socket = connect(&self.address).await?;
                    let (session, driver) = Session::new(socket, Mode::Client, None);
                    tokio::spawn(driver);
                    *self.locked() = Some(session.clone());
                    session
                }
            }
        };
        session.open().await
    }

    /// The present session, if there is one.
    pub(crate) fn session(&self) -> Option<Session> {
        let mut session = self.locked();
        if session.as_ref().is_some_and(Session::has_ended) {
            *session = None;
        }
        session.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Session>> {
        // No code of others runs under it.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Over {
    /// Where the plugin listens.
    pub(crate) fn address(&self) -> &Address {
        match self {
            Self::Dialer(dialer) => &dialer.address,
            Self::Session(_, address) => address,
        }
    }

    pub(crate) fn session(&self) -> Option<Session> {
        match self {
            Self::Dialer(dialer) => dialer.session(),
            Self::Session(session, _) => Some(session.clone()).filter(|it| !it.has_ended()),
        }
    }
}
