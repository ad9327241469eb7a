use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;

/// How many connections a pool for one target may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    max_size: NonZeroU32,
    min_size: u32,
    max_connecting: NonZeroU32,
}

/// How many connections a pool for many targets may have: 100 in all and 30 to each, unless told
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedLimits {
    max_size: NonZeroU32,
    max_per_key: NonZeroU32,
    max_connecting: NonZeroU32,
}

/// Limits that contradict one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits(&'static str);

impl Limits {
    /// At most `max_size` connections, made when they are asked for, all at once if need be.
    ///
    /// Few that are busy with a queue before them serve a data base better than many: twice its
    /// processors is a good first guess.
    #[must_use]
    pub const fn new(max_size: NonZeroU32) -> Self {
        Self {
            max_size,
            min_size: 0,
            max_connecting: NonZeroU32::MAX,
        }
    }

    /// Keeps at least so many connections, whether they are asked for or not.
    ///
    /// # Errors
    /// If that is more than the maximum.
    pub const fn with_min_size(mut self, min_size: u32) -> Result<Self, InvalidLimits> {
        if min_size > self.max_size.get() {
            return Err(InvalidLimits::MIN_ABOVE_MAX);
        }
        self.min_size = min_size;
        Ok(self)
    }

    /// At most so many connections are being made at a time.
    #[must_use]
    pub const fn with_max_connecting(mut self, max_connecting: NonZeroU32) -> Self {
        self.max_connecting = max_connecting;
        self
    }

    pub(crate) const fn counts(self) -> Counts {
        Counts {
            max_size: self.max_size.get(),
            min_size: self.min_size,
            max_per_key: u32::MAX,
            max_connecting: self.max_connecting.get(),
        }
    }
}

impl KeyedLimits {
    /// At most `max_size` connections in all, and `max_per_key` to one target.
    ///
    /// # Errors
    /// If one target may have more than all.
    pub const fn new(max_size: NonZeroU32, max_per_key: NonZeroU32) -> Result<Self, InvalidLimits> {
        if max_per_key.get() > max_size.get() {
            return Err(InvalidLimits("one key must not have more than all"));
        }
        Ok(Self {
            max_size,
            max_per_key,
            max_connecting: NonZeroU32::MAX,
        })
    }

    /// At most so many connections are being made at a time.
    #[must_use]
    pub const fn with_max_connecting(mut self, max_connecting: NonZeroU32) -> Self {
        self.max_connecting = max_connecting;
        self
    }

    pub(crate) const fn counts(self) -> Counts {
        Counts {
            max_size: self.max_size.get(),
            min_size: 0,
            max_per_key: self.max_per_key.get(),
            max_connecting: self.max_connecting.get(),
        }
    }
}

impl Default for KeyedLimits {
    fn default() -> Self {
        const TOTAL: NonZeroU32 = NonZeroU32::new(100).unwrap();
        const PER_KEY: NonZeroU32 = NonZeroU32::new(30).unwrap();
        Self {
            max_size: TOTAL,
            max_per_key: PER_KEY,
            max_connecting: NonZeroU32::MAX,
        }
    }
}

impl InvalidLimits {
    pub(crate) const MIN_ABOVE_MAX: Self = Self("the minimum must not exceed the maximum");
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidLimits {}

/// The limits of either kind of pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) max_size: u32,
    pub(crate) min_size: u32,
    pub(crate) max_per_key: u32,
    pub(crate) max_connecting: u32,
}
