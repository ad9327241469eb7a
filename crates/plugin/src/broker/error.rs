use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::launch::{ConnectError, ConnectFailure};
use crate::line::InvalidLine;

/// A brokered connection did not come about.
#[derive(Debug)]
pub struct BrokerError {
    id: u32,
    failure: BrokerFailure,
}

/// What was wrong with a brokered connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrokerFailure {
    /// The host did not open the broker's stream within this time.
    NotOpen(Duration),
    /// The other side did not say within this time where it accepts the number.
    NotAnnounced(Duration),
    /// The other side did not answer the knock within this time: it does not accept the number.
    NotAcknowledged(Duration),
    /// The other side answered the knock by this error.
    Refused(String),
    /// Other multiplexed connections were being made for all this time.
    Busy(Duration),
    /// What the other side said is no address.
    Announcement(InvalidLine),
    /// What the other side accepts cannot be connected to.
    Connect(ConnectError),
    /// There was nothing to listen on.
    Listen {
        /// What was tried.
        place: String,
        /// Why it failed.
        source: io::Error,
    },
    /// This side accepts the number already.
    Taken,
    /// The broker has ended; this is why.
    Closed(Arc<str>),
}

impl BrokerError {
    pub(crate) const fn new(id: u32, failure: BrokerFailure) -> Self {
        Self { id, failure }
    }

    pub(crate) fn not_connected(id: u32, error: ConnectError) -> Self {
        if !matches!(error.failure(), ConnectFailure::Brokered(_)) {
            return Self::new(id, BrokerFailure::Connect(error));
        }
        match error.into_failure() {
            ConnectFailure::Brokered(failure) => Self::new(id, *failure),
            _ => unreachable!("looked at above"),
        }
    }

    /// The number of the connection.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What was wrong.
    #[must_use]
    pub const fn failure(&self) -> &BrokerFailure {
        &self.failure
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "brokered connection {}: {}", self.id, self.failure)
    }
}

/// No source: the text tells the cause.
impl Error for BrokerError {}

impl fmt::Display for BrokerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen(within) => write!(
                f,
                "the host did not open the broker's stream within {within:?}"
            ),
            Self::NotAnnounced(within) => write!(
                f,
                "the other side did not announce within {within:?} where it accepts it"
            ),
            Self::NotAcknowledged(within) => write!(
                f,
                "the other side did not answer the knock within {within:?}: it does not accept it"
            ),
            Self::Refused(error) => write!(f, "the other side refused the knock: {error:?}"),
            Self::Busy(within) => write!(
                f,
                "its turn did not come within {within:?}, as other connections were being made"
            ),
            Self::Announcement(error) => {
                write!(f, "the other side announced what is no address: {error}")
            }
            Self::Connect(error) => error.fmt(f),
            Self::Listen { place, source } => write!(f, "cannot listen on {place}: {source}"),
            Self::Taken => f.write_str("this side accepts that number already"),
            Self::Closed(why) => write!(f, "the broker has ended: {why}"),
        }
    }
}
