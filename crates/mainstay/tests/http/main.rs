//! The HTTP client against servers that stand in the same process, over loopback. Time is real: a paused
//! clock would run ahead of the sockets.

mod closing;
mod exchange;
mod faults;
mod limits;
mod redirects;
mod retries;
mod support;
