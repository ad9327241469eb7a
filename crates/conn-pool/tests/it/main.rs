//! The pool as its users see it.

mod connecting;
mod health;
mod lending;
mod queue;
mod support;
