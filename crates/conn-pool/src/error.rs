use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why connecting failed, as all are told who asked for a connection.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

type BoxError = Box<dyn Error + Send + Sync>;

/// No connection could be lent.
///
/// What [`acquire`](crate::Pool::acquire) fails with. The tower services fail with a boxed
/// [`TimedOut`], [`BackendDown`] or [`Closed`] itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// All connections stayed lent, or the new one took too long.
    TimedOut(TimedOut),
    /// Connecting fails, and there is no connection left.
    BackendDown(BackendDown),
    /// The pool is closed.
    Closed(Closed),
}

/// No connection became free in time.
#[derive(Clone, Debug)]
pub struct TimedOut {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) waited: Duration,
    pub(crate) sizes: Sizes,
    pub(crate) cause: Option<Cause>,
}

/// What a pool consisted of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sizes {
    /// Connections that nobody has.
    pub idle: u32,
    /// Connections that somebody has, or that are being checked.
    pub lent: u32,
    /// Connections that are being made.
    pub connecting: u32,
    /// Connections that are being closed.
    pub closing: u32,
    /// Callers in the queue.
    pub waiting: u32,
}

/// Connecting fails, and there is no connection left to lend.
#[derive(Clone, Debug)]
pub struct BackendDown {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) cause: Cause,
    pub(crate) retry_in: Duration,
}

/// The pool is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub(crate) name: Option<Arc<str>>,
}

/// The connection was not made within [the time for it](crate::Times::with_connect_within).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectTimedOut {
    pub(crate) within: Duration,
}

/// The connector panicked, or its runtime ended under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectAborted {
    pub(crate) panicked: bool,
}

/// The connection was made, and broke before it was of any use to anybody: within a second or two.
///
/// Of those that do so in a row the first is replaced at once, and the others with the delays of a
/// connector that fails. One that [is broken](crate::Connection::is_broken) when it is made has failed
/// to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortLived {
    pub(crate) lived: Duration,
}

/// Leases were still out when the time to [drain](crate::Pool::drain) was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDrained {
    pub(crate) sizes: Sizes,
}

// === impl AcquireError ===

impl AcquireError {
    /// What it is, without the enum around it: how it passes through tower.
    pub(crate) fn into_boxed(self) -> BoxError {
        match self {
            Self::TimedOut(error) => error.into(),
            Self::BackendDown(error) => error.into(),
            Self::Closed(error) => error.into(),
        }
    }

    fn inner(&self) -> &(dyn Error + 'static) {
        match self {
            Self::TimedOut(error) => error,
            Self::BackendDown(error) => error,
            Self::Closed(error) => error,
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl Error for AcquireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner().source()
    }
}

// === impl TimedOut ===

impl TimedOut {
    /// The name of the pool.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long the caller had waited.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// What the pool consisted of at that time.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")?;
        write_name(f, self.name.as_deref())?;
        write!(f, " within {:?} ({})", self.waited, self.sizes)
    }
}

impl Error for TimedOut {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            idle,
            lent,
            connecting,
            closing,
            waiting,
        } = self;
        write!(
            f,
            "{idle} idle, {lent} lent, {connecting} connecting, {closing} closing, {waiting} waiting"
        )
    }
}

// === impl BackendDown ===

impl BackendDown {
    /// The name of the pool.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long until connecting is tried again; zero if that is under way.
    #[must_use]
    pub const fn retry_in(&self) -> Duration {
        self.retry_in
    }
}

impl fmt::Display for BackendDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("backend")?;
        write_name(f, self.name.as_deref())?;
        write!(f, " is down, next try in {:?}", self.retry_in)
    }
}

impl Error for BackendDown {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

// === impl Closed, ConnectTimedOut, ConnectAborted, ShortLived, NotDrained ===

impl Closed {
    /// The name of the pool.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pool")?;
        write_name(f, self.name.as_deref())?;
        f.write_str(" is closed")
    }
}

impl Error for Closed {}

impl ConnectTimedOut {
    /// How long connecting might take.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }
}

impl fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not connected within {:?}", self.within)
    }
}

impl Error for ConnectTimedOut {}

impl ConnectAborted {
    /// Whether the connector panicked.
    #[must_use]
    pub const fn panicked(&self) -> bool {
        self.panicked
    }
}

impl fmt::Display for ConnectAborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.panicked {
            "connecting panicked"
        } else {
            "connecting was aborted"
        })
    }
}

impl Error for ConnectAborted {}

impl ShortLived {
    /// For how long the connection was taken for good; zero if it was broken when it was made.
    #[must_use]
    pub const fn lived(&self) -> Duration {
        self.lived
    }
}

impl fmt::Display for ShortLived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lived.is_zero() {
            f.write_str("connection was broken when it was made")
        } else {
            write!(f, "connection broke {:?} after it was made", self.lived)
        }
    }
}

impl Error for ShortLived {}

impl NotDrained {
    /// What was left of the pool.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }
}

impl fmt::Display for NotDrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not drained in time ({})", self.sizes)
    }
}

impl Error for NotDrained {}

fn write_name(f: &mut fmt::Formatter<'_>, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => write!(f, " of {name}"),
        None => Ok(()),
    }
}
