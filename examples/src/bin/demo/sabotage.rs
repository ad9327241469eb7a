use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{MissedTickBehavior, interval};

use crate::host::Host;

/// Kills processes of the plugin as a crash would, one at a time, and tells nobody.
#[derive(Debug, Default)]
pub(crate) struct Sabotage {
    kills: AtomicU64,
}

impl Sabotage {
    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Relaxed)
    }

    /// Kills one each time this much time has passed; without one none.
    pub(crate) async fn run(&self, host: &impl Host, every: Option<Duration>) -> Infallible {
        let Some(every) = every else {
            return pending().await;
        };
        let mut times = interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut killed = HashSet::new();
        loop {
            times.tick().await;
            let running = host.snapshot().pids;
            // One that was killed may not have been noticed yet.
            let Some(pid) = running.into_iter().find(|pid| killed.insert(*pid)) else {
                continue;
            };
            let pid = pid.try_into().ok().and_then(Pid::from_raw);
            if pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
                self.kills.fetch_add(1, Relaxed);
            }
        }
    }
}
