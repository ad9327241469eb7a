//! Named tasks, from outside.

mod group;
mod registry;
