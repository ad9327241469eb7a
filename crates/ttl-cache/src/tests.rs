//! Tests of what is not public. They stand here, since the model check pulls in the files themselves.

mod calendar;
mod store;
mod tags;
mod windows;
