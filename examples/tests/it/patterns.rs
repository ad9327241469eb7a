//! The programs of the patterns, each started with several inputs: what they print, what they complain of,
//! and how they end.

mod bounded_batch;
mod one_crate;
mod program;
mod stream_processing;
