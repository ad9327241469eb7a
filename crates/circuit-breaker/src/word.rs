/// All that a call must know of the machine which passes it, in one word: the generation, and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

/// Above the flags of a word, and above the probe of a pass.
pub(crate) const GENERATION_SHIFT: u32 = 24;

impl Word {
    /// Not every call passes: ask the machine.
    const GATED: u64 = 1;
    /// There are bad calls in a window that has too few calls to say so. The next one may be enough, and
    /// a good one does not notice by itself: ask the machine before each call and after it.
    const SHORT: u64 = 2;
    /// There are failures in a row, which a success ends: tell the machine.
    const ROW: u64 = 4;
    /// There are meters, in which a success is counted.
    const METERED: u64 = 8;

    pub(crate) const FLAGS: u32 = 4;

    pub(crate) const fn new(generation: u64) -> Self {
        Self(generation << GENERATION_SHIFT)
    }

    pub(crate) const fn with_gate(self, is_gated: bool) -> Self {
        Self(self.0 | if is_gated { Self::GATED } else { 0 })
    }

    pub(crate) const fn with_short(self, is_short: bool) -> Self {
        Self(self.0 | if is_short { Self::SHORT } else { 0 })
    }

    pub(crate) const fn with_row(self, is_row: bool) -> Self {
        Self(self.0 | if is_row { Self::ROW } else { 0 })
    }

    pub(crate) const fn with_meters(self, is_metered: bool) -> Self {
        Self(self.0 | if is_metered { Self::METERED } else { 0 })
    }

    /// Whether all calls pass.
    #[inline]
    pub(crate) const fn passes(self) -> bool {
        self.0 & Self::GATED == 0
    }

    /// Whether all calls pass, and need not ask.
    #[inline]
    pub(crate) const fn passes_unasked(self) -> bool {
        self.0 & (Self::GATED | Self::SHORT) == 0
    }

    /// Without flags.
    #[inline]
    pub(crate) const fn bare(self) -> u64 {
        self.0 >> Self::FLAGS << Self::FLAGS
    }
}
