//! Named tasks, from outside.

mod registry;
