//! What is measured: a file for each group.

mod batch;
mod breaker;
mod cache;
mod context;
mod limits;
mod pool;
mod retry;
mod stack;
mod tasks;

use crate::group::Group;

pub use batch::steady::print as batch_steady;
pub use pool::waits::print as pool_waits;

/// In the order of RESULTS.md.
#[must_use]
pub fn all() -> Vec<Group> {
    vec![
        breaker::group(),
        retry::group(),
        cache::group(),
        pool::group(),
        batch::group(),
        context::group(),
        stack::group(),
        tasks::group(),
        limits::group(),
    ]
}

#[cfg(test)]
mod tests;
