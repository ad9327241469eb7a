use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Change, Failure, OpenTime, Reason, RuleSnapshot, Rules, Snapshot, State, Verdict,
    clock::Tick,
    half_open::{Decision, Probes},
    meter::Meter,
    open::Wait,
    pass::Pass,
    tally::{Findings, Outcome, Tally},
    word::Word,
};

/// How many changes are kept for those who follow them.
const KEPT_CHANGES: usize = 64;

/// The states of a circuit and what leads from one to another: plain values, given the time.
///
/// Time by itself moves nothing; whatever is asked of the machine first does what was due, as of
/// when it was due.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Arc<Rules>,
    phase: Phase,
    /// Goes up by one with each change. A call belongs to the generation that admitted it, and its
    /// outcome decides nothing in a later one.
    generation: u64,
    /// The first of its generations: those before are of another machine in the same place.
    born: u64,
    meters: &'static [Meter],
    tallies: Box<[Tally]>,
    findings: Findings,
    /// Why the circuit is not closed.
    reason: Reason,
    /// The latest moment that failures of the closed circuit named for coming back.
    asked_for: Instant,
    closed_since: Instant,
    doublings: u32,
    openings: u64,
    late: u64,
    changes: VecDeque<Change>,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen(Probes),
    ForcedOpen,
    Disabled,
}

/// Why there is no pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// When the open time is over, if that is what the refusal is for.
    open_until: Option<Instant>,
    /// When it is worth asking again, if nothing happens before.
    pub(crate) ask_at: Option<Instant>,
}

impl Machine {
    pub(crate) fn new(
        rules: Arc<Rules>,
        meters: &'static [Meter],
        generation: u64,
        now: Instant,
    ) -> Self {
        Self {
            meters,
            tallies: Tally::all(&rules.open_when, meters),
            findings: Findings::default(),
            rules,
            phase: Phase::Closed,
            generation,
            born: generation,
            reason: Reason::Forced,
            asked_for: now,
            closed_since: now,
            doublings: 0,
            openings: 0,
            late: 0,
            changes: VecDeque::new(),
        }
    }

    /// What calls must know that do not ask.
    pub(crate) fn word(&self) -> Word {
        let Findings {
            is_short, is_row, ..
        } = self.findings;
        Word::new(self.generation)
            .with_gate(!self.phase.passes())
            .with_short(is_short)
            .with_row(is_row)
            .with_meters(!self.meters.is_empty())
    }

    /// Whether a call would be admitted now.
    pub(crate) fn peek(&mut self, now: Instant) -> Result<(), Refusal> {
        self.advance(now);
        match &self.phase {
            Phase::Closed | Phase::Disabled => Ok(()),
            Phase::Open { until } if now >= *until => Ok(()),
            Phase::HalfOpen(probes) if probes.has_room() => Ok(()),
            Phase::Open { until } => Err(self.refusal(Some(*until), Some(*until))),
            Phase::HalfOpen(probes) => Err(self.refusal(None, probes.hung_at())),
            Phase::ForcedOpen => Err(self.refusal(None, None)),
        }
    }

    pub(crate) fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        // Calls that asked nobody may have made up the number since the last outcome that did.
        if self.findings.is_short {
            self.evaluate(self.generation, now);
        }
        self.peek(now)?;
        if let Phase::Open { .. } = self.phase {
            let probes = Probes::new(self.rules.half_open);
            self.enter(Phase::HalfOpen(probes), None);
        }
        let probe = match &mut self.phase {
            Phase::HalfOpen(probes) => probes.admit(now),
            _ => None,
        };
        Ok(Pass::new(self.generation, probe))
    }

    /// Takes a pass back, with the verdict on its call and how long that took.
    pub(crate) fn settle(&mut self, pass: Pass, verdict: Verdict, took: Duration, now: Instant) {
        self.advance(now);
        if pass.generation() != self.generation {
            self.late += u64::from(pass.generation() >= self.born);
            return;
        }
        let failure = match verdict {
            Verdict::Success => None,
            Verdict::Failure(failure) => Some(failure),
            Verdict::Ignore => return self.give_back(pass),
        };
        match (&mut self.phase, pass.probe()) {
            (Phase::Closed, _) => self.record(&Outcome { failure, took }, now),
            (Phase::HalfOpen(probes), Some(probe)) => {
                let slow_from = self
                    .meters
                    .iter()
                    .filter_map(|it| it.shape().slow_from)
                    .min();
                let is_slow = slow_from.is_some_and(|slow_from| took >= slow_from);
                match probes.settle(probe, failure.is_none() && !is_slow) {
                    Decision::Undecided => {}
                    Decision::Close => self.close(now),
                    Decision::Open => {
                        let asked = failure.map_or(Duration::ZERO, |it| it.retry_after);
                        self.open(Reason::ProbesFailed, asked, now);
                    }
                }
            }
            // Disabled counts nothing, and the others admit nothing.
            _ => {}
        }
    }

    /// Opens a closed circuit if it is time for that, as the calls of a generation found.
    pub(crate) fn evaluate(&mut self, generation: u64, now: Instant) {
        if generation != self.generation || !matches!(self.phase, Phase::Closed) {
            return;
        }
        let findings = self
            .tallies
            .iter_mut()
            .map(|it| it.findings(generation, now));
        self.findings = findings.fold(Findings::default(), Findings::and);
        if let Some(reason) = self.findings.reason {
            let open_time = &self.rules.open_time;
            let closed_for = now.saturating_duration_since(self.closed_since);
            self.doublings = open_time.recovered(self.doublings, closed_for);
            let asked = self.asked_for.saturating_duration_since(now);
            self.open(reason, asked, now);
        }
    }

    /// Takes over what this thread's cells hold, since one is full; not if they are of a generation
    /// that is over.
    pub(crate) fn relieve(&mut self, generation: u64, now: Option<Tick>) -> bool {
        let is_current = generation == self.generation;
        if is_current {
            for tally in &mut self.tallies {
                tally.relieve(generation, now);
            }
        }
        is_current
    }

    pub(crate) fn force_open(&mut self, now: Instant) {
        self.advance(now);
        self.reason = Reason::Forced;
        self.enter(Phase::ForcedOpen, None);
    }

    pub(crate) fn disable(&mut self, now: Instant) {
        self.advance(now);
        self.enter(Phase::Disabled, None);
    }

    pub(crate) fn reset(&mut self, now: Instant) {
        self.doublings = 0;
        self.close(now);
    }

    /// The changes after the first `seen` ones, as far back as they are kept.
    pub(crate) fn changes_since(&self, seen: u64) -> impl Iterator<Item = Change> {
        let new = usize::try_from(self.generation - seen).unwrap_or(usize::MAX);
        let skipped = self.changes.len().saturating_sub(new);
        self.changes.iter().skip(skipped).copied()
    }

    /// The first of those changes, and its number.
    pub(crate) fn change_after(&self, seen: u64) -> Option<(Change, u64)> {
        let oldest_kept = self.generation - self.changes.len() as u64;
        let change = self.changes_since(seen).next()?;
        Some((change, seen.max(oldest_kept) + 1))
    }

    /// How many changes there were.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> Snapshot {
        let refusal = self.peek(now).err();
        let rules = self.tallies.iter_mut().map(|it| {
            let counts = it.counts(self.generation, now);
            RuleSnapshot {
                rule: it.rule(),
                bad: counts.bad,
                calls: counts.calls,
            }
        });
        Snapshot {
            rules: rules.collect(),
            name: self.rules.name.clone(),
            state: self.phase.state(),
            reason: (!self.phase.passes()).then_some(self.reason),
            retry_after: refusal.and_then(|it| it.wait(now)).map(Wait::into),
            probes_out: match &self.phase {
                Phase::HalfOpen(probes) => probes.out(),
                _ => 0,
            },
            openings: self.openings,
            refused: 0,
            late: self.late,
        }
    }

    /// Does what is due: hung probes open the circuit again, as of when they hung.
    fn advance(&mut self, now: Instant) {
        if let Phase::HalfOpen(probes) = &self.phase
            && let Some(hung_at) = probes.hung_at()
            && hung_at <= now
        {
            self.open(Reason::ProbesHung, Duration::ZERO, hung_at);
        }
    }

    fn record(&mut self, outcome: &Outcome, now: Instant) {
        if let Some(Failure { retry_after, .. }) = outcome.failure {
            let asked_for = now + retry_after.min(OpenTime::MAX);
            self.asked_for = self.asked_for.max(asked_for);
        }
        for tally in &mut self.tallies {
            tally.record(outcome, self.generation, now);
        }
        self.evaluate(self.generation, now);
    }

    fn give_back(&mut self, pass: Pass) {
        if let (Phase::HalfOpen(probes), Some(probe)) = (&mut self.phase, pass.probe()) {
            probes.give_back(probe);
        }
    }

    fn open(&mut self, reason: Reason, asked: Duration, at: Instant) {
        let open_time = &self.rules.open_time;
        let open_for = open_time.after(self.doublings, asked, rand::random());
        self.doublings = self.doublings.saturating_add(1);
        self.openings += 1;
        self.reason = reason;
        let until = at + open_for;
        self.enter(Phase::Open { until }, Some(open_for));
    }

    fn close(&mut self, now: Instant) {
        self.closed_since = now;
        self.asked_for = now;
        self.enter(Phase::Closed, None);
    }

    fn enter(&mut self, phase: Phase, open_for: Option<Duration>) {
        let reason = (!phase.passes()).then_some(self.reason);
        let change = Change {
            from: self.phase.state(),
            to: phase.state(),
            reason,
            open_for,
        };
        if self.changes.len() == KEPT_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.phase = phase;
        self.begin_generation();
    }

    /// Nobody owns it any more: what still comes is late.
    pub(crate) fn retire(&mut self) {
        self.phase = Phase::Disabled;
        self.changes.clear();
        self.begin_generation();
    }

    fn begin_generation(&mut self) {
        self.generation += 1;
        self.findings = Findings::default();
        for tally in &mut self.tallies {
            tally.clear();
        }
    }

    const fn refusal(&self, open_until: Option<Instant>, ask_at: Option<Instant>) -> Refusal {
        Refusal {
            reason: self.reason,
            open_until,
            ask_at,
        }
    }
}

impl Refusal {
    /// How long the open time still is; nothing if it is over, or if that is not what the refusal is for.
    /// Until then it is true, if the state does not change.
    pub(crate) fn wait(&self, now: Instant) -> Option<Wait> {
        Wait::new(self.open_until?.saturating_duration_since(now))
    }
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
            Self::Disabled => State::Disabled,
        }
    }

    /// Whether all calls pass.
    const fn passes(&self) -> bool {
        matches!(self, Self::Closed | Self::Disabled)
    }
}
