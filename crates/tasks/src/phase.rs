use std::fmt;
use std::time::Duration;

/// The parts of a shutdown, in their order. Each begins when the one before is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Those who send work are told to send no more, while it is still accepted: a health service says
    /// `NOT_SERVING`.
    Announce,
    /// Nothing new is accepted.
    StopAccepting,
    /// What was accepted is brought to its end.
    Drain,
    /// Background tasks are stopped.
    StopTasks,
    /// Pools of connections are closed.
    ClosePools,
    /// What was gathered is written out, by other ways than the pools that are closed.
    FlushBatches,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Announce,
        Self::StopAccepting,
        Self::Drain,
        Self::StopTasks,
        Self::ClosePools,
        Self::FlushBatches,
    ];

    /// Together 25 s, so that the 30 that Kubernetes gives by default are not used up.
    pub(crate) const LIMITS: [Duration; 6] = [
        Duration::from_secs(3),
        Duration::from_secs(1),
        Duration::from_secs(10),
        Duration::from_secs(5),
        Duration::from_secs(3),
        Duration::from_secs(3),
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Announce => "announce",
            Self::StopAccepting => "stop accepting",
            Self::Drain => "drain",
            Self::StopTasks => "stop tasks",
            Self::ClosePools => "close pools",
            Self::FlushBatches => "flush batches",
        })
    }
}
