//! Bodies of requests that can be sent again, and of responses that are judged.

mod chunks;
mod hold;
mod record;
mod replay;
mod watch;

pub(crate) use hold::{Held, Hold, Judged};
pub(crate) use record::Recorder;
pub(crate) use replay::{Replay, Superseded};
pub(crate) use watch::Watch;
