use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use comfy_table::{Table, presets};
use hdrhistogram::{CreationError, Histogram};
use indicatif::HumanCount;

/// Nothing that is measured here takes longer: a minute, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// What happened so far; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stats(Arc<Mutex<Tally>>);

/// Durations in nanoseconds.
#[derive(Debug)]
struct Tally {
    calls: Histogram<u64>,
    failures: u64,
    restarts: Histogram<u64>,
}

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) restarts: u64,
}

impl Stats {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self(Arc::new(Mutex::new(Tally {
            calls: Histogram::new_with_max(LONGEST, 3)?,
            failures: 0,
            restarts: Histogram::new_with_max(LONGEST, 3)?,
        }))))
    }

    /// A call has taken this long.
    pub(crate) fn called(&self, took: Duration, answered: bool) {
        let mut tally = self.tally();
        tally.calls.saturating_record(nanos(took));
        tally.failures += u64::from(!answered);
    }

    /// The plugin was started again.
    pub(crate) fn restarted(&self, took: Duration) {
        self.tally().restarts.saturating_record(nanos(took));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let tally = self.tally();
        Snapshot {
            calls: tally.calls.len(),
            failures: tally.failures,
            restarts: tally.restarts.len(),
        }
    }

    pub(crate) fn table(&self) -> Table {
        let tally = self.tally();
        let at = |times: &Histogram<u64>, quantile| {
            if times.is_empty() {
                return "-".to_owned();
            }
            millis(Duration::from_nanos(times.value_at_quantile(quantile)))
        };
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_header(["", "number", "p50", "p99", "max"])
            .add_row([
                "calls".to_owned(),
                HumanCount(tally.calls.len()).to_string(),
                at(&tally.calls, 0.5),
                at(&tally.calls, 0.99),
                at(&tally.calls, 1.0),
            ])
            .add_row([
                "failures".to_owned(),
                HumanCount(tally.failures).to_string(),
            ])
            .add_row([
                "restarts".to_owned(),
                HumanCount(tally.restarts.len()).to_string(),
                at(&tally.restarts, 0.5),
                "".to_owned(),
                at(&tally.restarts, 1.0),
            ]);
        table
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in milliseconds, for a person.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
