//! What a circuit tells the log.

use tracing::{debug, info};

use crate::{Change, Open, State};

pub(crate) fn changed(circuit: Option<&str>, change: &Change) {
    let Change { from, to, .. } = change;
    let reason = change.reason.map(tracing::field::display);
    let open_for = change.open_for.map(tracing::field::debug);
    match to {
        State::Open => info!(circuit, %from, reason, open_for, "circuit opened"),
        State::HalfOpen => info!(circuit, %from, reason, "circuit half-open"),
        State::Closed => info!(circuit, %from, "circuit closed"),
        State::ForcedOpen => info!(circuit, %from, "circuit forced open"),
        State::Disabled => info!(circuit, %from, "circuit disabled"),
    }
}

pub(crate) fn refused(open: &Open) {
    debug!(
        circuit = open.name(),
        reason = %open.reason(),
        retry_after = open.retry_after().map(tracing::field::debug),
        "call refused"
    );
}
