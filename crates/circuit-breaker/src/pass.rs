use std::num::NonZeroU64;

use crate::word::{GENERATION_SHIFT, Word};

/// The right to make one call, to be returned with its outcome: the generation that admitted it, and
/// which probe it is, if it is one.
///
/// One word, since it goes with every call: that of the machine, with the probe in place of the flags
/// and above them. So a pass that is no probe is the word of a machine that need not hear of a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass(NonZeroU64);

/// Which probe of a half-open spell: never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeId(u32);

impl Pass {
    /// A pass for a call that need not ask, if the machine says that there are such.
    #[inline]
    pub(crate) fn unasked(word: Word) -> Option<Self> {
        if word.passes_unasked() {
            NonZeroU64::new(word.bare()).map(Self)
        } else {
            None
        }
    }

    pub(crate) fn new(generation: u64, probe: Option<ProbeId>) -> Self {
        let probe = probe.map_or(0, |it| u64::from(it.0) << Word::FLAGS);
        let bits = generation << GENERATION_SHIFT | probe;
        Self(NonZeroU64::new(bits).expect("generations begin at 1"))
    }

    /// Whether nobody need hear of a success, if the machine says so.
    #[inline]
    pub(crate) fn is_ignored(self, word: Word) -> bool {
        self.0.get() == word.0
    }

    /// Whether a success is counted in the meters only, if the machine says so.
    #[inline]
    pub(crate) fn is_metered(self, word: Word) -> bool {
        Word(self.0.get()).with_meters(true) == word
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0.get() >> GENERATION_SHIFT
    }

    pub(crate) const fn probe(self) -> Option<ProbeId> {
        match (self.0.get() & ((1 << GENERATION_SHIFT) - 1)) >> Word::FLAGS {
            0 => None,
            probe => Some(ProbeId(probe as u32)),
        }
    }
}

impl ProbeId {
    const MAX: u32 = (1 << (GENERATION_SHIFT - Word::FLAGS)) - 1;

    pub(crate) const FIRST: Self = Self(1);

    /// They begin again after a million, which is more than can be out at once.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 % Self::MAX + 1)
    }
}
