//! Named tasks, from outside.

mod group;
mod periodic;
mod registry;
mod resource;
mod shutdown;
mod supervision;
