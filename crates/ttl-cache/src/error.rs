use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{BoxError, Name};

/// The load of an answer failed. All who waited for it have the same.
#[derive(Clone, Debug)]
pub struct LoadFailed(Arc<Failure>);

#[derive(Debug)]
struct Failure {
    cause: BoxError,
    cache: Option<Name>,
}

/// A refresh in the background took too long, and was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshTimedOut {
    after: Duration,
}

impl LoadFailed {
    pub(crate) fn new(cause: BoxError, cache: Option<&Name>) -> Self {
        let cache = cache.cloned();
        Self(Arc::new(Failure { cause, cache }))
    }

    /// What the load failed with: [`Panicked`](crate::Panicked) if it did, [`RefreshTimedOut`] if it was a refresh that
    /// took too long.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0.cause
    }

    /// The name of the cache, if it has one.
    #[must_use]
    pub fn cache(&self) -> Option<&str> {
        self.0.cache.as_deref()
    }

    pub(crate) fn boxed_cause(&self) -> &BoxError {
        &self.0.cause
    }
}

impl RefreshTimedOut {
    pub(crate) const fn new(after: Duration) -> Self {
        Self { after }
    }

    /// How long it had.
    #[must_use]
    pub const fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for LoadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cache() {
            Some(name) => write!(f, "load of cache {name} failed"),
            None => f.write_str("load failed"),
        }
    }
}

impl Error for LoadFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0.cause)
    }
}

impl fmt::Display for RefreshTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refresh took longer than {:?}", self.after)
    }
}

impl Error for RefreshTimedOut {}
