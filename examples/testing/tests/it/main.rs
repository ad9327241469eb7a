//! Tests of asynchronous code, on a clock that stands still until there is something to wait for.

mod background;
mod batch;
mod handler;
mod stack;
