//! What each crate costs per call, beside its peers: the harness, and the groups of rows that it measures.
//!
//! Everything is measured in the same way and in one run: see README.md. A group is one file in `groups`.

#![expect(
    missing_debug_implementations,
    reason = "what is measured is called, not printed"
)]

pub mod backend;
pub mod counts;
mod crew;
pub mod group;
pub mod groups;
mod report;
mod results;
mod sample;
mod spread;
pub mod times;
pub mod work;
