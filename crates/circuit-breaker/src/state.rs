use std::{fmt, time::Duration};

use crate::Rule;

/// Whether a circuit lets calls through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Calls pass, and their outcomes are counted.
    Closed,
    /// Calls are refused, until the open time is over.
    Open,
    /// Some calls pass, to see whether the service works again.
    HalfOpen,
    /// Calls are refused until [`Circuit::reset`](crate::Circuit::reset).
    ForcedOpen,
    /// Calls pass, and nothing is counted, until [`Circuit::reset`](crate::Circuit::reset).
    Disabled,
}

/// Why a circuit opened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A rule of the closed circuit.
    #[non_exhaustive]
    Rule {
        /// The rule.
        rule: Rule,
        /// How many calls it counted: failed ones, or slow ones.
        bad: u64,
        /// Of how many, for a rate; else the same number.
        calls: u64,
    },
    /// Too many probes of the half-open circuit failed.
    ProbesFailed,
    /// A probe of the half-open circuit had no outcome in time.
    ProbesHung,
    /// [`Circuit::force_open`](crate::Circuit::force_open).
    Forced,
}

/// A circuit went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The state that it left.
    pub from: State,
    /// The state that it is in.
    pub to: State,
    /// Why it is open, half-open or forced open.
    pub reason: Option<Reason>,
    /// For how long it is open, where that is known.
    pub open_for: Option<Duration>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::Disabled => "disabled",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule, bad, calls } => match rule {
                Rule::ConsecutiveFailures(_) if *bad == 1 => f.write_str("1 failure"),
                Rule::ConsecutiveFailures(_) => write!(f, "{bad} failures in a row"),
                Rule::FailureRate(_) => write!(f, "{bad} of {calls} calls failed"),
                Rule::SlowCallRate(rule) => {
                    let slow_from = rule.slow_from();
                    write!(f, "{bad} of {calls} calls took {slow_from:?} or longer")
                }
            },
            Self::ProbesFailed => f.write_str("probes failed"),
            Self::ProbesHung => f.write_str("a probe had no outcome in time"),
            Self::Forced => f.write_str("forced open"),
        }
    }
}
