//! Retries and hedges over services that fail as they are told.

mod amplification;
mod contention;
mod random;
