use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{BoxError, Panicked};

/// The load of an answer failed. All who waited for it have the same.
#[derive(Clone, Debug)]
pub struct LoadFailed {
    cause: Arc<BoxError>,
}

/// A refresh in the background took too long, and was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshTimedOut {
    after: Duration,
}

impl LoadFailed {
    pub(crate) fn new(cause: BoxError) -> Self {
        Self {
            cause: Arc::new(cause),
        }
    }

    pub(crate) fn panicked(panicked: Panicked) -> Self {
        Self::new(panicked.into())
    }

    /// What the load failed with: [`Panicked`] if it did, [`RefreshTimedOut`] if it was a refresh that
    /// took too long.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &**self.cause
    }

    pub(crate) fn boxed_cause(&self) -> &BoxError {
        &self.cause
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
        f.write_str("load failed")
    }
}

impl Error for LoadFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.cause)
    }
}

impl fmt::Display for RefreshTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refresh took longer than {:?}", self.after)
    }
}

impl Error for RefreshTimedOut {}
