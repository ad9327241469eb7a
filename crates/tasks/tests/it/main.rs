//! Named tasks, from outside.

mod group;
mod periodic;
mod registry;
mod shutdown;
mod supervision;
