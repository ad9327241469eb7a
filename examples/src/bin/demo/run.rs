use std::time::Duration;

use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::display::Display;
use crate::host::Host;
use crate::report::Report;
use crate::sabotage::Sabotage;
use crate::seen::Seen;
use crate::stop::Stop;
use crate::{BoxError, load};

/// Calls a plugin while its processes are killed, shows how it goes, and reports what it came to.
pub(crate) async fn run(
    title: &'static str,
    host: &impl Host,
    arguments: &Arguments,
    stop: &Stop,
) -> Result<Report, BoxError> {
    let length = Duration::from_secs(arguments.seconds.into());
    let seen = Seen::new()?;
    let sabotage = Sabotage::default();
    let display = Display::new(title, length)?;
    let mut callers = load::start(arguments.callers.get(), host, &seen);
    tokio::select! {
        () = stop.told() => {}
        () = sleep(length) => {}
        never = sabotage.run(host, arguments.kill_every()) => match never {},
        never = display.run(&seen, host, &sabotage) => match never {},
    }
    // Calls under way are not counted.
    callers.shutdown().await;
    display.finish();
    let plugin = host.snapshot();
    Ok(Report {
        title,
        seen: seen.tally(),
        kills: sabotage.kills(),
        restarts: plugin.restarts,
        attempts_per_call: plugin.attempts_per_call,
    })
}
