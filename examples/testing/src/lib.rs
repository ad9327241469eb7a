//! Code that uses mainstay, to be tested: what stands in `src` is an ordinary service, and `tests` shows how
//! its time, its failures and its limits are tested without waiting, without a server, and without chance.
//!
//! 1. A service takes what it calls as a parameter: in a test, that is `tower_test`'s mock, which says what
//!    was asked and answers when the test wants.
//! 2. `#[tokio::test(start_paused = true)]` stops the clock. It jumps to the next timer when all tasks wait,
//!    so that an hour passes at once, and how long something took is exact: `start.elapsed()` can be
//!    compared with `assert_eq!`.
//! 3. What is left to chance is turned off where it would be in the way: a constant backoff, no jitter.
//!
//! All crates of mainstay read tokio's clock, and no other.

mod handler;
mod report;
mod stack;

pub use handler::{Answer, Handler, InvalidUser};
pub use report::report;
pub use stack::stack;

/// The error of tower's layers that can fail in several ways.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
