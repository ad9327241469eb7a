//! Values that many threads write without sharing a cache line.
//!
//! A counter that all threads add to costs each of them the way of its cache line from the one that
//! added last. [`Striped`] has a value for each thread instead; who wants to know the sum reads all of
//! them. The first threads have theirs to themselves, and may write it without a locked instruction.
//!
//! **Internal to mainstay**: there is no promise that it stays as it is.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//!
//! use mainstay_striped::Striped;
//!
//! let calls: Striped<AtomicU64> = Striped::new(4);
//! let mine = calls.mine();
//! if mine.is_own() {
//!     mine.store(mine.load(Relaxed) + 1, Relaxed);
//! } else {
//!     mine.fetch_add(1, Relaxed);
//! }
//! assert_eq!(calls.iter().map(|it| it.load(Relaxed)).sum::<u64>(), 1);
//! ```

mod number;
mod striped;

pub use striped::{Stripe, Striped};
