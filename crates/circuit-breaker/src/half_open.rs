use std::{error::Error, fmt, time::Duration};

use tokio::time::Instant;

use crate::pass::ProbeId;

/// What a half-open circuit admits, and what it takes to close it.
///
/// By default one probe, which must succeed, and is written off after 60 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HalfOpen {
    probes: u32,
    successes: u32,
    max_wait: Duration,
}

/// What is wrong with a [`HalfOpen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHalfOpen(&'static str);

/// The probes of one half-open spell. Each is out, or judged, or given back as if it had not been.
#[derive(Debug)]
pub(crate) struct Probes {
    rules: HalfOpen,
    /// Those without an outcome, the oldest first.
    out: Vec<(ProbeId, Instant)>,
    next_id: ProbeId,
    succeeded: u32,
    failed: u32,
}

/// What the outcome of a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Undecided,
    Close,
    Open,
}

impl HalfOpen {
    /// The most probes that can be asked for.
    pub const MAX_PROBES: u32 = 1_000;

    /// Admits `probes` calls, of which `successes` must succeed.
    ///
    /// The circuit closes at the last success that it needs, and opens again as soon as so many
    /// probes have failed that the others cannot reach it.
    ///
    /// # Errors
    /// If `successes` is zero or greater than `probes`, or `probes` greater than
    /// [`HalfOpen::MAX_PROBES`].
    pub const fn new(probes: u32, successes: u32) -> Result<Self, InvalidHalfOpen> {
        if successes == 0 {
            return Err(InvalidHalfOpen(
                "the successes that it takes must not be zero",
            ));
        }
        if successes > probes {
            return Err(InvalidHalfOpen(
                "the successes that it takes must not be more than the probes",
            ));
        }
        if probes > Self::MAX_PROBES {
            return Err(InvalidHalfOpen("the probes must not be more than 1,000"));
        }
        Ok(Self {
            probes,
            successes,
            max_wait: Duration::from_secs(60),
        })
    }

    /// How long a probe may be out, [`Duration::MAX`] for as long as it likes. When one has been for longer, it and the others are written off,
    /// and the circuit opens again.
    ///
    /// # Errors
    /// If `max_wait` is zero.
    pub const fn with_max_wait(mut self, max_wait: Duration) -> Result<Self, InvalidHalfOpen> {
        if max_wait.is_zero() {
            return Err(InvalidHalfOpen("the wait for a probe must not be zero"));
        }
        self.max_wait = max_wait;
        Ok(self)
    }
}

impl Default for HalfOpen {
    fn default() -> Self {
        const { Self::new(1, 1) }.expect("one success of one probe can be reached")
    }
}

impl Probes {
    pub(crate) const fn new(rules: HalfOpen) -> Self {
        Self {
            rules,
            out: Vec::new(),
            next_id: ProbeId::FIRST,
            succeeded: 0,
            failed: 0,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.out() + self.succeeded + self.failed < self.rules.probes
    }

    /// The number of a new probe, if there is room for one.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<ProbeId> {
        if !self.has_room() {
            return None;
        }
        while self.out.iter().any(|(out, _)| *out == self.next_id) {
            self.next_id = self.next_id.next();
        }
        let id = self.next_id;
        self.next_id = id.next();
        self.out.push((id, now));
        Some(id)
    }

    pub(crate) fn settle(&mut self, id: ProbeId, success: bool) -> Decision {
        self.give_back(id);
        if success {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
        if self.succeeded >= self.rules.successes {
            Decision::Close
        } else if self.failed > self.rules.probes - self.rules.successes {
            Decision::Open
        } else {
            Decision::Undecided
        }
    }

    pub(crate) fn give_back(&mut self, id: ProbeId) {
        self.out.retain(|(other, _)| *other != id);
    }

    /// When the oldest probe is written off. With none out there is nothing to wait for.
    pub(crate) fn hung_at(&self) -> Option<Instant> {
        let (_, since) = self.out.first()?;
        // A wait too long for the clock to tell never ends.
        since.checked_add(self.rules.max_wait)
    }

    pub(crate) fn out(&self) -> u32 {
        // No more are out than `probes`, which is one.
        self.out.len() as u32
    }
}

impl fmt::Display for InvalidHalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid half-open rule of a circuit breaker: {}", self.0)
    }
}

impl Error for InvalidHalfOpen {}
