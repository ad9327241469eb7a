//! Named tasks, from outside.

mod dropped;
mod group;
mod local_group;
mod periodic;
mod registry;
mod resource;
mod servers;
mod shutdown;
mod supervision;
