use std::convert::Infallible;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use indicatif::style::TemplateError;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use crate::host::Host;
use crate::sabotage::Sabotage;
use crate::seen::Seen;

/// What the person who watches gets to see of a run: on a terminal lines that live, otherwise a plain
/// line a second.
#[derive(Debug)]
pub(crate) struct Display {
    title: &'static str,
    bar: ProgressBar,
    begun: Instant,
    length: Duration,
}

impl Display {
    pub(crate) fn new(title: &'static str, length: Duration) -> Result<Self, TemplateError> {
        let target = ProgressDrawTarget::stdout();
        let bar = ProgressBar::with_draw_target(Some(millis(length)), target);
        bar.set_style(ProgressStyle::with_template("{prefix} {wide_bar}\n{msg}")?);
        Ok(Self {
            title,
            bar,
            begun: Instant::now(),
            length,
        })
    }

    /// Shows how it goes.
    pub(crate) async fn run(
        &self,
        seen: &Seen,
        host: &impl Host,
        sabotage: &Sabotage,
    ) -> Infallible {
        let a_second = if self.bar.is_hidden() { 1 } else { 10 };
        let mut times = interval(Duration::from_secs(1) / a_second);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        times.tick().await;
        loop {
            times.tick().await;
            let elapsed = self.begun.elapsed();
            let (calls, failures) = seen.counts();
            let plugin = host.snapshot();
            let head = format!(
                "{}  {:4.1} of {} s",
                self.title,
                elapsed.as_secs_f64(),
                self.length.as_secs(),
            );
            let callers = format!(
                "calls {}  failures {}  attempts per call {:.3}",
                HumanCount(calls),
                HumanCount(failures),
                plugin.attempts_per_call,
            );
            let processes = format!(
                "circuit {}  instances {}  kills {}  restarts {}",
                plugin
                    .circuit
                    .map_or("none".to_owned(), |it| it.to_string()),
                plugin.pids.len(),
                sabotage.kills(),
                plugin.restarts,
            );
            if self.bar.is_hidden() {
                line(&format!("{head}  {callers}  {processes}"));
            } else {
                self.bar.set_prefix(head);
                self.bar.set_message(format!("{callers}\n{processes}"));
                self.bar.set_position(millis(elapsed));
            }
        }
    }

    /// Makes room for what comes next.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Tells something that stays.
pub(crate) fn line(line: &str) {
    // Whoever reads it may have gone, as `head` does.
    let _ = writeln!(stdout(), "{line}");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
