use std::{error::Error, fmt, time::Duration};

/// What bounds a cache and its loads.
///
/// By default: as much weight as entries, loads that stop when nobody waits for them, refreshes of up
/// to 30 s, and a second between a refresh that failed and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) entries: usize,
    pub(crate) weight: u64,
    pub(crate) detached: bool,
    pub(crate) refresh_timeout: Duration,
    pub(crate) retry_after: Duration,
}

/// What is wrong with [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits(&'static str);

impl Limits {
    /// The most entries.
    pub const MAX: usize = 1 << 30;

    /// Room for so many entries, each of which weighs 1 unless [`Keep`](crate::Keep) says otherwise.
    ///
    /// The room is divided evenly among parts that are locked one by one, and an entry belongs to the
    /// part that its hash says: a part can be full before all are.
    ///
    /// # Errors
    /// If `entries` is zero or greater than [`Limits::MAX`].
    pub const fn new(entries: usize) -> Result<Self, InvalidLimits> {
        if entries == 0 {
            return Err(InvalidLimits("there must be room for an entry"));
        }
        if entries > Self::MAX {
            return Err(InvalidLimits(
                "there must not be room for more than 2^30 entries",
            ));
        }
        Ok(Self {
            entries,
            weight: entries as u64,
            detached: false,
            refresh_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
        })
    }

    /// Entries weigh at most so much together; the number of entries is then how many are expected.
    ///
    /// An entry that is heavier than its part of the room is not kept.
    ///
    /// # Errors
    /// If `weight` is zero or greater than 2^62.
    pub const fn with_weight(mut self, weight: u64) -> Result<Self, InvalidLimits> {
        if weight == 0 {
            return Err(InvalidLimits("there must be room for some weight"));
        }
        // Their sum is counted in 64 bits.
        if weight > 1 << 62 {
            return Err(InvalidLimits("the weight must not be greater than 2^62"));
        }
        self.weight = weight;
        Ok(self)
    }

    /// Loads run as tasks of their own: they are finished even if nobody waits for them any more, and
    /// any number of callers that are not polled does them no harm. Outside a tokio runtime they are
    /// run by their callers all the same.
    #[must_use]
    pub const fn with_detached_loads(mut self) -> Self {
        self.detached = true;
        self
    }

    /// A refresh in the background takes at most so long, and has failed then. A load that a caller
    /// waits for from its start is not bounded by this.
    ///
    /// # Errors
    /// If `time` is zero.
    pub const fn with_refresh_timeout(mut self, time: Duration) -> Result<Self, InvalidLimits> {
        if time.is_zero() {
            return Err(InvalidLimits("a refresh must have some time"));
        }
        self.refresh_timeout = time;
        Ok(self)
    }

    /// After a load of a key failed whose old answer may still be given, the next one waits so long.
    #[must_use]
    pub const fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid limits of a cache: {}", self.0)
    }
}

impl Error for InvalidLimits {}
