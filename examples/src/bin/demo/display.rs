use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use indicatif::style::TemplateError;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use crate::instances::Instances;
use crate::stats::Stats;

/// What the person who watches gets to see: on a terminal a line that lives, below the lines that
/// tell what happened; otherwise a plain line a second.
#[derive(Debug)]
pub(crate) struct Display {
    bar: ProgressBar,
    begun: Instant,
    length: Duration,
}

/// When how many calls had been made, over the last second.
struct Pace(VecDeque<(Instant, u64)>);

impl Display {
    pub(crate) fn new(length: Duration) -> Result<Self, TemplateError> {
        let target = ProgressDrawTarget::stdout();
        let bar = ProgressBar::with_draw_target(Some(millis(length)), target);
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar}")?);
        Ok(Self {
            bar,
            begun: Instant::now(),
            length,
        })
    }

    /// Tells what has happened.
    pub(crate) fn line(&self, line: &str) {
        if self.is_live() {
            self.bar.println(line);
        } else {
            // Whoever reads it may have gone, as `head` does.
            let _ = writeln!(stdout(), "{line}");
        }
    }

    /// Shows how it goes.
    pub(crate) async fn run(&self, stats: &Stats, instances: &Instances) -> Infallible {
        let a_second = if self.is_live() { 10 } else { 1 };
        let mut times = interval(Duration::from_secs(1) / a_second);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        times.tick().await;
        let mut pace = Pace(VecDeque::from(vec![(self.begun, 0); a_second as usize]));
        loop {
            times.tick().await;
            let seen = stats.snapshot();
            let elapsed = self.begun.elapsed();
            let line = format!(
                "{:4.1} of {} s  {} calls  {}/s  failed {}  restarts {}  pid {}",
                elapsed.as_secs_f64(),
                self.length.as_secs(),
                HumanCount(seen.calls),
                HumanCount(pace.per_second(Instant::now(), seen.calls)),
                seen.failures,
                seen.restarts,
                instances
                    .pid()
                    .map_or("-".to_owned(), |pid| pid.to_string()),
            );
            if self.is_live() {
                self.bar.set_message(line);
                self.bar.set_position(millis(elapsed));
            } else {
                self.line(&line);
            }
        }
    }

    /// Ends with a table.
    pub(crate) fn finish(&self, stats: &Stats) {
        self.bar.finish_and_clear();
        let _ = writeln!(stdout(), "{}", stats.table());
    }

    fn is_live(&self) -> bool {
        !self.bar.is_hidden()
    }
}

impl Pace {
    /// The calls of the last second, or of what it has of it.
    fn per_second(&mut self, now: Instant, calls: u64) -> u64 {
        self.0.push_back((now, calls));
        let since = self.0.pop_front();
        since.map_or(0, |(then, calls_then)| {
            ((calls - calls_then) as f64 / (now - then).as_secs_f64()) as u64
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
