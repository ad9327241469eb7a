use std::{error::Error, fmt};

use crate::Panicked;

/// Why one item of a map or of a stage has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemError<E> {
    /// It failed.
    Failed(E),
    /// Its work panicked. That is the fault of this item alone: the others go on.
    Panicked(Panicked),
}

impl<E> ItemError<E> {
    /// What it failed with, unless it panicked.
    pub fn into_failure(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Panicked(_) => None,
        }
    }
}

impl<E> fmt::Display for ItemError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(_) => f.write_str("item failed"),
            Self::Panicked(panicked) => write!(f, "item {panicked}"),
        }
    }
}

impl<E: Error + 'static> Error for ItemError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Panicked(_) => None,
        }
    }
}
