use std::{error::Error, fmt, time::Duration};

/// What bounds the batches of a [`BatchLayer`](crate::BatchLayer).
///
/// By default: any weight, one batch at once, 100 times the items of a batch waiting, and a linger of
/// 1 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) items: usize,
    pub(crate) weight: u64,
    pub(crate) batches: usize,
    pub(crate) batches_per_lane: usize,
    pub(crate) waiting: usize,
    pub(crate) linger: Duration,
}

/// What is wrong with [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits(&'static str);

impl Limits {
    /// The most items that a batch can have, and the most items waiting.
    pub const MAX: usize = 1 << 20;

    /// The most batches at once.
    pub const MAX_BATCHES: usize = 1 << 16;

    /// The longest linger.
    pub const MAX_LINGER: Duration = Duration::from_secs(60 * 60);

    /// At most `items` in a batch.
    ///
    /// # Errors
    /// If `items` is zero or greater than [`Limits::MAX`].
    pub const fn new(items: usize) -> Result<Self, InvalidLimits> {
        if items == 0 {
            return Err(InvalidLimits("a batch must have room for an item"));
        }
        if items > Self::MAX {
            return Err(InvalidLimits("a batch must not have more than 2^20 items"));
        }
        let waiting = items * 100;
        Ok(Self {
            items,
            weight: u64::MAX,
            batches: 1,
            batches_per_lane: Self::MAX_BATCHES,
            waiting: if waiting > Self::MAX {
                Self::MAX
            } else {
                waiting
            },
            linger: Duration::from_millis(1),
        })
    }

    /// The items of a batch weigh at most so much together, by
    /// [`BatchLayer::with_weigh`](crate::BatchLayer::with_weigh). What weighs more alone is refused.
    ///
    /// # Errors
    /// If `weight` is zero.
    pub const fn with_weight(mut self, weight: u64) -> Result<Self, InvalidLimits> {
        if weight == 0 {
            return Err(InvalidLimits("a batch must have room for some weight"));
        }
        self.weight = weight;
        Ok(self)
    }

    /// At most so many batches are with the service at once.
    ///
    /// # Errors
    /// If `batches` is zero or greater than [`Limits::MAX_BATCHES`].
    pub const fn with_batches(mut self, batches: usize) -> Result<Self, InvalidLimits> {
        if batches == 0 {
            return Err(InvalidLimits("there must be room for a batch"));
        }
        if batches > Self::MAX_BATCHES {
            return Err(InvalidLimits("there must not be more than 2^16 batches"));
        }
        self.batches = batches;
        Ok(self)
    }

    /// At most so many batches of one lane are with the service at once, by
    /// [`BatchLayer::with_lanes`](crate::BatchLayer::with_lanes); those of other lanes overtake the rest.
    /// With one, the batches of a lane are sent one after the other. By default a lane may have all.
    ///
    /// # Errors
    /// If `batches` is zero or greater than [`Limits::MAX_BATCHES`].
    pub const fn with_batches_per_lane(mut self, batches: usize) -> Result<Self, InvalidLimits> {
        if batches == 0 {
            return Err(InvalidLimits("a lane must have room for a batch"));
        }
        if batches > Self::MAX_BATCHES {
            return Err(InvalidLimits(
                "there must not be more than 2^16 batches of a lane",
            ));
        }
        self.batches_per_lane = batches;
        Ok(self)
    }

    /// Whether lanes have a limit of their own.
    pub(crate) const fn bounds_lanes(&self) -> bool {
        self.batches_per_lane < self.batches
    }

    /// At most so many items wait to be sent. Further callers are not ready, and become so in the
    /// order in which they asked.
    ///
    /// # Errors
    /// If `items` is zero or greater than [`Limits::MAX`].
    pub const fn with_waiting(mut self, items: usize) -> Result<Self, InvalidLimits> {
        if items == 0 {
            return Err(InvalidLimits("there must be room for an item to wait"));
        }
        if items > Self::MAX {
            return Err(InvalidLimits(
                "there must not be more than 2^20 items waiting",
            ));
        }
        self.waiting = items;
        Ok(self)
    }

    /// The longest that an item waits for others while a batch could be sent. It waits only under
    /// load: when more come than there is room for in a batch, and fast enough to fill one. With zero
    /// it waits for no timer ever; those who can run have their turn all the same.
    ///
    /// # Errors
    /// If `linger` is longer than [`Limits::MAX_LINGER`].
    pub const fn with_linger(mut self, linger: Duration) -> Result<Self, InvalidLimits> {
        if linger.as_nanos() > Self::MAX_LINGER.as_nanos() {
            return Err(InvalidLimits("the linger must not be longer than an hour"));
        }
        self.linger = linger;
        Ok(self)
    }
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid limits of a batch: {}", self.0)
    }
}

impl Error for InvalidLimits {}
