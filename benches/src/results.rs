//! What was measured, as it is kept in `results`: RESULTS.md and the plots are made of it.

use serde::{Deserialize, Serialize};

use crate::{group::Role, spread::Spread};

/// A group, and what one must know to believe its figures.
#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) title: String,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) machine: String,
    /// Of the crates that were measured.
    pub(crate) versions: Vec<String>,
    pub(crate) scenarios: Vec<Measured>,
}

/// A scenario.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) rows: Vec<MeasuredRow>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct MeasuredRow {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// One for each setting.
    pub(crate) times: Vec<Times>,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Nanoseconds of one processor for one call.
#[derive(Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) setting: String,
    pub(crate) nanoseconds: Spread,
    pub(crate) above_floor: f64,
    pub(crate) to_floor: f64,
    pub(crate) to_best_peer: Option<f64>,
}

/// What does not change from run to run.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// For each call.
    pub(crate) allocations: Option<f64>,
    /// For each call.
    pub(crate) bytes: Option<f64>,
    /// Bytes that one state and one caller hold on the heap after some calls.
    pub(crate) held: Option<f64>,
    /// The size of the response future.
    pub(crate) future: Option<usize>,
    /// For each call.
    pub(crate) instructions: Option<f64>,
}
