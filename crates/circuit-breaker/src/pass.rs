use std::num::NonZeroU64;

/// The right to make one call, to be returned with its outcome: the generation that admitted it, and
/// which probe it is, if it is one.
///
/// One word, since it goes with every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass(NonZeroU64);

/// Which probe of a half-open spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeId(u32);

impl Pass {
    const PROBE_BITS: u32 = 24;

    pub(crate) fn new(generation: u64, probe: Option<ProbeId>) -> Self {
        let probe = probe.map_or(0, |it| it.0);
        let word = generation << Self::PROBE_BITS | u64::from(probe);
        Self(NonZeroU64::new(word).expect("generations begin at 1"))
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0.get() >> Self::PROBE_BITS
    }

    pub(crate) const fn probe(self) -> Option<ProbeId> {
        match self.0.get() & ((1 << Self::PROBE_BITS) - 1) {
            0 => None,
            probe => Some(ProbeId(probe as u32)),
        }
    }
}

impl ProbeId {
    pub(crate) const FIRST: Self = Self(1);

    /// They begin again after sixteen million, which is more than can be out at once.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 % ((1 << Pass::PROBE_BITS) - 1) + 1)
    }
}
