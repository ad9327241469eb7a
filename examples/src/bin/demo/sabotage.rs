use std::convert::Infallible;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, interval_at};

use crate::display::Display;
use crate::instances::Instances;

/// How often the plugin is killed.
pub(crate) const PERIOD: Duration = Duration::from_secs(2);

/// When it is killed first: so that neither a kill nor a start falls on a full second, when the
/// demo shows how it goes, or ends.
const FIRST: Duration = Duration::from_millis(1500);

/// Kills the plugin's process as a crash would, and tells nobody but the person who watches.
pub(crate) async fn run(instances: &Instances, display: &Display) -> Infallible {
    let mut times = interval_at(Instant::now() + FIRST, PERIOD);
    loop {
        times.tick().await;
        let Some(pid) = instances.pid() else { continue };
        let killed = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
        // Otherwise it has ended by itself, this moment.
        if killed {
            display.line(&format!("killed pid {pid}"));
        }
    }
}
