use std::{error::Error, fmt};

/// How many items are worked on at once: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency(usize);

/// What is wrong with a [`Concurrency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidConcurrency(&'static str);

impl Concurrency {
    /// The most that can be asked for.
    pub const MAX: usize = 1 << 16;

    /// `items` at once.
    ///
    /// # Errors
    /// If `items` is zero or greater than [`Concurrency::MAX`].
    pub const fn new(items: usize) -> Result<Self, InvalidConcurrency> {
        match items {
            0 => Err(InvalidConcurrency("it must not be zero")),
            1..=Self::MAX => Ok(Self(items)),
            _ => Err(InvalidConcurrency("it must not be greater than 2^16")),
        }
    }

    /// How many.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl fmt::Display for InvalidConcurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid concurrency: {}", self.0)
    }
}

impl Error for InvalidConcurrency {}
