//! Retries and hedges over services that fail as they are told.

mod amplification;
mod attempts;
mod budgets;
mod contention;
mod contract;
mod events;
mod hedging;
mod hedging_unsent;
mod random;
mod readiness;
mod script;
mod threads;
#[cfg(feature = "tower")]
mod tower_retry;
mod waiting;
