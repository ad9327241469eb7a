use std::time::Duration;

use crate::{Name, Reason, Rule, State};

/// What a circuit has seen, at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What the circuit is called.
    pub name: Option<Name>,
    /// The state that it is in.
    pub state: State,
    /// Why it is open, half-open or forced open.
    pub reason: Option<Reason>,
    /// After what time it admits a probe, if it is open and that time is not over.
    pub retry_after: Option<Duration>,
    /// The probes without an outcome, if it is half-open.
    pub probes_out: u32,
    /// What each rule has counted since the last change of state.
    pub rules: Vec<RuleSnapshot>,
    /// How often the circuit has opened, by itself.
    pub openings: u64,
    /// How many calls were refused.
    pub refused: u64,
    /// How many outcomes came after the state that their calls were admitted in. They decide nothing.
    pub late: u64,
}

/// What a rule has counted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RuleSnapshot {
    /// The rule.
    pub rule: Rule,
    /// The failures in a row, or the failed or slow calls in the window.
    pub bad: u64,
    /// The calls in the window; for failures in a row the same as `bad`.
    pub calls: u64,
}
