//! The files in which threads meet, under loom: every order of their steps, and every value that a
//! relaxed load may have.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/call_window.rs"]
mod call_window;
#[path = "../../src/cells.rs"]
mod cells;
#[path = "../../src/classify.rs"]
mod classify;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/gate.rs"]
mod gate;
#[path = "../../src/half_open.rs"]
mod half_open;
#[path = "../../src/machine.rs"]
mod machine;
#[path = "../../src/meter.rs"]
mod meter;
#[path = "../../src/name.rs"]
mod name;
#[path = "../../src/open.rs"]
mod open;
#[path = "../../src/open_time.rs"]
mod open_time;
#[path = "../../src/pass.rs"]
mod pass;
#[path = "../../src/rule.rs"]
mod rule;
#[path = "../../src/rules.rs"]
mod rules;
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[path = "../../src/state.rs"]
mod state;
mod sync;
#[path = "../../src/tally.rs"]
mod tally;
#[path = "../../src/time_window.rs"]
mod time_window;
#[path = "../../src/window.rs"]
mod window;
#[path = "../../src/word.rs"]
mod word;

mod calls;
mod counting;

use classify::{Failure, Verdict};
use half_open::HalfOpen;
use name::Name;
use open_time::OpenTime;
use rule::{ConsecutiveFailures, FailureRate, InvalidRule, Rule};
use rules::Rules;
use snapshot::{RuleSnapshot, Snapshot};
use state::{Change, Reason, State};
use window::Window;

/// Tries every order with up to three preemptions: with more, loom's authors have found no more faults.
fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}
