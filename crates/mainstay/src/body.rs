//! Bodies of requests that can be sent again, and of responses that are judged.

mod chunks;
mod collect;
mod hold;
mod memory;
mod record;
mod replay;
mod timed;
mod watch;

pub(crate) use collect::{Collected, Whole, collect};
pub(crate) use hold::{Held, Hold};
pub(crate) use memory::Memory;
pub(crate) use record::Recorder;
pub(crate) use timed::Timed;
pub(crate) use watch::Watch;
