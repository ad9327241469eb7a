/// All that a call must know of the machine which passes it, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// Not every call passes: ask the machine.
    const GATED: u64 = 1;
    /// There are bad calls in a window that has too few calls to say so. The next one may be enough, and
    /// a good one does not notice by itself: ask the machine before each call and after it.
    const SHORT: u64 = 2;
    /// There are failures in a row, which a success ends: tell the machine.
    const ROW: u64 = 4;
    const FLAGS: u32 = 3;

    pub(crate) const fn new(generation: u64, gated: bool, short: bool, row: bool) -> Self {
        let gated = if gated { Self::GATED } else { 0 };
        let short = if short { Self::SHORT } else { 0 };
        let row = if row { Self::ROW } else { 0 };
        Self(generation << Self::FLAGS | row | short | gated)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> Self::FLAGS
    }

    pub(crate) const fn passes(self) -> bool {
        self.0 & Self::GATED == 0
    }

    pub(crate) const fn admits_unasked(self) -> bool {
        self.0 & (Self::GATED | Self::SHORT) == 0
    }

    /// The word of a machine that admits all, and that a success of this generation need not be told.
    pub(crate) const fn quiet(generation: u64) -> Self {
        Self::new(generation, false, false, false)
    }
}
