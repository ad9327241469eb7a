use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::HumanCount;

use crate::seen::Tally;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) title: &'static str,
    pub(crate) seen: Tally,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) attempts_per_call: f64,
}

const ROWS: [&str; 10] = [
    "calls",
    "failures",
    "failed with",
    "share of failures",
    "latency, p50",
    "latency, p99",
    "latency, max",
    "kills",
    "restarts",
    "attempts per call",
];

/// All runs, side by side.
pub(crate) fn table(reports: &[Report]) -> Table {
    let columns: Vec<_> = reports.iter().map(Report::cells).collect();
    let mut table = Table::new();
    let titles = reports.iter().map(|it| it.title);
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(std::iter::once("").chain(titles));
    for (at, name) in ROWS.into_iter().enumerate() {
        let cells = columns.iter().map(|it| it[at].clone());
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}

impl Report {
    fn cells(&self) -> [String; ROWS.len()] {
        let seen = &self.seen;
        let count = |count| HumanCount(count).to_string();
        let as_what = seen.failures.iter();
        let as_what: Vec<_> = as_what
            .map(|(code, times)| format!("{code} {}", count(*times)))
            .collect();
        let share = seen.failed() as f64 / seen.calls().max(1) as f64;
        [
            count(seen.calls()),
            count(seen.failed()),
            as_what.join("\n"),
            format!("{:.2} %", share * 100.0),
            millis(seen.latency(0.5)),
            millis(seen.latency(0.99)),
            millis(seen.latency(1.0)),
            count(self.kills),
            count(self.restarts),
            format!("{:.3}", self.attempts_per_call),
        ]
    }
}

/// A duration in milliseconds, for a person.
fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
