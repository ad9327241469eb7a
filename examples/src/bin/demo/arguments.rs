use std::num::NonZeroU16;
use std::time::Duration;

use clap::{Parser, value_parser};

use crate::display::line;
use crate::host::INSTANCES;
use crate::plugin::{FAILS_ONE_OF, HANGS_ONE_OF};

/// Starts itself as a plugin, calls it from many sides while it is killed, fails and hangs, and shows
/// what the callers see of it: with mainstay's stack around the plugin, and then without.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// How long each of the two runs goes on; Ctrl-C ends it sooner.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// How many callers there are at once.
    #[arg(long, default_value = "16")]
    pub(crate) callers: NonZeroU16,
    /// How often one of the processes of the plugin is killed; 0: never.
    #[arg(long, default_value_t = 100)]
    kill_every_ms: u32,
    /// How long the stack waits for an answer until it asks again.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    attempt_timeout_ms: u32,
    /// The plugin answers all calls, and is only killed.
    #[arg(long)]
    pub(crate) no_faults: bool,
}

impl Arguments {
    /// None if nothing is killed.
    pub(crate) fn kill_every(&self) -> Option<Duration> {
        let every = Duration::from_millis(self.kill_every_ms.into());
        (!every.is_zero()).then_some(every)
    }

    pub(crate) fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms.into())
    }

    /// Tells what is done to the plugin.
    pub(crate) fn explain(&self) {
        line(&format!(
            "{} callers ask a plugin for values, over unix sockets with mutual TLS. It runs in \
             {INSTANCES} processes.",
            self.callers
        ));
        if self.kill_every_ms > 0 {
            line(&format!(
                "- Every {} ms one of them is killed (SIGKILL), and started again.",
                self.kill_every_ms
            ));
        }
        if !self.no_faults {
            line(&format!(
                "- One of {FAILS_ONE_OF} calls is answered with UNAVAILABLE, one of {HANGS_ONE_OF} never."
            ));
        }
        line(&format!(
            "With the stack, a call is sent again if its process died, if the answer is UNAVAILABLE, or \
             if there is\nnone within {} ms: to ask twice for a value does no harm. Without it, callers \
             see it all.\n",
            self.attempt_timeout_ms
        ));
    }
}
