//! The files in which threads meet, under loom: every order of their steps, and every value that a
//! relaxed load may have.

// What the files hold beyond what is checked here.
#![allow(dead_code, unreachable_pub, unnameable_types)]

#[path = "../../src/call_window.rs"]
mod call_window;
#[path = "../../src/cells.rs"]
mod cells;
#[path = "../../src/chance.rs"]
mod chance;
#[path = "../../src/changes.rs"]
mod changes;
#[path = "../../src/circuit.rs"]
mod circuit;
#[path = "../../src/classify.rs"]
mod classify;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/deadline.rs"]
mod deadline;
mod event;
#[path = "../../src/event_queue.rs"]
mod event_queue;
#[path = "../../src/future.rs"]
mod future;
#[path = "../../src/gate.rs"]
mod gate;
#[path = "../../src/half_open.rs"]
mod half_open;
#[path = "../../src/machine.rs"]
mod machine;
#[path = "../../src/memory.rs"]
mod memory;
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
#[path = "../../src/permit.rs"]
mod permit;
#[path = "../../src/rule.rs"]
mod rule;
#[path = "../../src/rules.rs"]
mod rules;
#[path = "../../src/service.rs"]
mod service;
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[path = "../../src/state.rs"]
mod state;
mod sync;
#[path = "../../src/tally.rs"]
mod tally;
#[path = "../../src/time_window.rs"]
mod time_window;
#[path = "../../src/waiting.rs"]
mod waiting;
#[path = "../../src/window.rs"]
mod window;
#[path = "../../src/word.rs"]
mod word;

mod calls;
mod counting;
mod waits;

use changes::Changes;
use circuit::Circuit;
use classify::{Classify, ErrorsFail, Failure, Verdict};
use deadline::{Deadline, NoDeadline};
use half_open::HalfOpen;
use name::Name;
use open::Open;
use open_time::OpenTime;
use permit::Permit;
use rule::{ConsecutiveFailures, FailureRate, InvalidRule, Rule, SlowCallRate};
use rules::Rules;
use service::CircuitBreaker;
use snapshot::{RuleSnapshot, Snapshot};
use state::{Change, Reason, State};
use window::Window;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Tries every order with up to three preemptions: with more, loom's authors have found no more faults.
fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}
