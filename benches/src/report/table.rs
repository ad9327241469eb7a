use std::iter;

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    group::Role,
    results::{Counts, Measured, MeasuredRow, Times},
};

const TIMES: [&str; 4] = ["middle half", "above floor", "x floor", "x best peer"];
const COUNTS: [&str; 5] = [
    "allocations",
    "bytes",
    "instructions",
    "future, B",
    "held, B",
];

/// How many tables a scenario has: one for each setting.
pub(crate) fn settings(scenario: &Measured) -> usize {
    scenario.rows.first().map_or(0, |row| row.times.len())
}

/// In Markdown, which a terminal shows well too.
pub(crate) fn text(scenario: &Measured, setting: usize) -> String {
    let mut table = table(scenario, setting);
    table.load_style(presets::ASCII_MARKDOWN).to_string()
}

/// The counts stand in the first table only, since they are the same for each setting, and only where there are any.
fn table(scenario: &Measured, setting: usize) -> Table {
    let mut table = Table::new();
    let are_counted = scenario.rows[0].counts.allocations.is_some();
    let has_counts = setting == 0 && are_counted;
    let heading = format!("{}, ns", scenario.rows[0].times[setting].setting);
    let counts = COUNTS.into_iter().filter(|_| has_counts);
    let header = ["", &heading].into_iter().chain(TIMES).chain(counts);
    table.set_header(header.map(str::to_owned).collect::<Vec<_>>());
    for row in &scenario.rows {
        let times = times(row.role, &row.times[setting]);
        let counts = counts_of(&row.counts).into_iter().filter(|_| has_counts);
        let cells = iter::once(name(row)).chain(times).chain(counts);
        table.add_row(cells.collect::<Vec<_>>());
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn name(row: &MeasuredRow) -> String {
    match row.role {
        Role::Ours => format!("**{}**", row.name),
        Role::Floor | Role::Peer | Role::Limit => row.name.clone(),
    }
}

fn times(role: Role, times: &Times) -> [String; 5] {
    let spread = &times.nanoseconds;
    let to_peer = times.to_best_peer.filter(|_| role != Role::Floor);
    let to_peer = to_peer.map(|ratio| {
        let word = if role == Role::Ours && ratio > 1.0 {
            "behind, "
        } else {
            ""
        };
        format!("{word}{}", digits(ratio))
    });
    [
        digits(spread.median),
        format!("{} - {}", digits(spread.lower), digits(spread.upper)),
        digits(times.above_floor),
        digits(times.to_floor),
        to_peer.unwrap_or_default(),
    ]
}

fn counts_of(counts: &Counts) -> [String; 5] {
    let number = |it: Option<f64>| it.map(digits).unwrap_or_default();
    [
        number(counts.allocations),
        number(counts.bytes),
        number(counts.instructions),
        counts.future.map(|it| it.to_string()).unwrap_or_default(),
        number(counts.held),
    ]
}

/// Three digits, or all those before the point.
fn digits(number: f64) -> String {
    let decimals = match number.abs() {
        0.0 => 0,
        ..0.995 => 3,
        ..9.95 => 2,
        ..99.5 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests;
