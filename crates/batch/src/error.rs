use std::{error::Error, fmt, sync::Arc};

use crate::{BoxError, Panicked};

/// The batch of this item failed as a whole.
#[derive(Clone, Debug)]
pub struct BatchFailed {
    cause: Arc<BoxError>,
}

/// The service answered a batch with another number of results than it has items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLength {
    items: usize,
    answers: usize,
}

/// The item is heavier than a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHeavy {
    weight: u64,
    limit: u64,
}

/// The batcher was shut down, and takes no more items; or it was stopped before it answered this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed(());

impl BatchFailed {
    pub(crate) fn new(cause: BoxError) -> Self {
        Self {
            cause: Arc::new(cause),
        }
    }

    pub(crate) fn panicked(panicked: Panicked) -> Self {
        Self::new(panicked.into())
    }

    /// What the service failed with; [`Panicked`] if it did.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &**self.cause
    }
}

impl WrongLength {
    pub(crate) const fn new(items: usize, answers: usize) -> Self {
        Self { items, answers }
    }

    /// How many items the batch had.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// How many answers came.
    #[must_use]
    pub const fn answers(&self) -> usize {
        self.answers
    }
}

impl TooHeavy {
    pub(crate) const fn new(weight: u64, limit: u64) -> Self {
        Self { weight, limit }
    }

    /// How heavy the item is.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// How heavy a batch may be.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }
}

impl Closed {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for BatchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("batch failed")
    }
}

impl Error for BatchFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.cause)
    }
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, answers } = self;
        write!(f, "{answers} answers to a batch of {items}")
    }
}

impl Error for WrongLength {}

impl fmt::Display for TooHeavy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, limit } = self;
        write!(
            f,
            "an item of weight {weight} where a batch may weigh {limit}"
        )
    }
}

impl Error for TooHeavy {}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("batcher closed")
    }
}

impl Error for Closed {}
