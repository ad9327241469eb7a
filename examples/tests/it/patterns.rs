//! The programs of the patterns, each started with several inputs: what they print, what they complain of,
//! and how they end.

mod background_tasks;
mod bounded_batch;
mod cache;
mod circuit_breaker;
mod connection_pool;
mod facade;
mod graceful_shutdown;
mod http_client;
mod one_crate;
mod program;
mod readme;
mod request_context;
mod resource_guard;
mod retry;
mod stack_by_hand;
mod stream_processing;
mod task_group;
