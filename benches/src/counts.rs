//! Counts that do not change from run to run: allocations, and instructions. Programs of their own take them, since to
//! count costs time.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path, sync::LazyLock};

use serde::{Deserialize, Serialize};

use tokio::runtime::{EnterGuard, Runtime};

use crate::{
    crew,
    group::{Group, Row, Scenario, Setting},
    groups,
    work::Caller,
};

/// The variable that names the group to be measured; all of them without it.
pub const GROUP: &str = "MAINSTAY_BENCH_GROUP";

/// The variable that names the folder in which the programs leave what they counted.
pub const FOLDER: &str = "MAINSTAY_BENCH_FOLDER";

/// So many calls are counted, after as many that are not: whole cycles of failures in all scenarios.
pub(crate) const CALLS: u64 = 2_000;

/// What a counting allocator saw.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Allocated {
    /// How many allocations.
    pub count: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Those of them that were not freed.
    pub held: f64,
}

/// A caller that has warmed up.
pub struct Warm {
    caller: Box<dyn Caller>,
    _entered: EnterGuard<'static>,
}

/// Some crates want a runtime when their services are made or called.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| crew::runtime(1));

/// Rows are known by these, across programs.
pub(crate) fn key(group: &Group, scenario: &Scenario, row: &Row) -> String {
    format!("{}/{}/{}", group.name, scenario.name, row.name)
}

/// The groups that are to be measured.
pub(crate) fn groups() -> Vec<Group> {
    let name = env::var(GROUP).ok();
    let mut groups = groups::all();
    groups.retain(|it| name.as_ref().is_none_or(|name| it.name == name));
    groups
}

/// Those whose calls can be made by one thread: in tasks, how often a future is polled is a matter of chance.
fn rows() -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for group in groups() {
        for scenario in &group.scenarios {
            if scenario.settings.contains(&Setting::Threads(1)) {
                let keyed = |row: &Row| (key(&group, scenario, row), row.clone());
                rows.extend(scenario.rows.iter().map(keyed));
            }
        }
    }
    rows
}

/// Counts the allocations of each row's calls, on one thread, and leaves them in the folder. This is the first program
/// to run.
///
/// # Errors
///
/// If there is no group of the name that was given.
pub fn allocations(measure: impl Fn(&mut dyn FnMut()) -> Allocated) -> Result<(), Box<dyn Error>> {
    if groups().is_empty() {
        let names: Vec<_> = groups::all().iter().map(|it| it.name).collect();
        return Err(format!("no such group; there are: {}", names.join(", ")).into());
    }
    let _entered = RUNTIME.enter();
    let mut counts = BTreeMap::new();
    for (key, row) in rows() {
        // The first state also pays for what a process makes once.
        warm(&row);
        let mut caller = None;
        let held = measure(&mut || caller = Some(warm(&row))).held;
        let mut caller = caller.expect("it was made");
        let mut run = |calls| {
            measure(&mut || {
                caller.run(calls);
            })
        };
        let (none, calls) = (run(0), run(CALLS));
        let each = |calls: f64, none: f64| (calls - none) / CALLS as f64;
        let counted = Allocated {
            count: each(calls.count, none.count),
            bytes: each(calls.bytes, none.bytes),
            held,
        };
        counts.insert(key, counted);
    }
    let folder = env::var_os(FOLDER).ok_or("run `cargo xtask bench`")?;
    let json = serde_json::to_string_pretty(&counts)?;
    Ok(fs::write(
        Path::new(&folder).join("allocations.json"),
        json,
    )?)
}

/// One number for each row.
#[must_use]
pub fn instruction_rows() -> Vec<usize> {
    (0..rows().len()).collect()
}

/// What the rows of these numbers are known by.
pub(crate) fn keys() -> Vec<String> {
    rows().into_iter().map(|(key, _)| key).collect()
}

impl Warm {
    /// A caller of the row that has this number.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn up(row: usize) -> Self {
        let entered = RUNTIME.enter();
        Self {
            caller: warm(&rows()[row].1),
            _entered: entered,
        }
    }

    /// Makes the calls whose instructions are counted.
    #[must_use]
    pub fn run(mut self) -> Self {
        self.caller.run(CALLS);
        self
    }
}

fn warm(row: &Row) -> Box<dyn Caller> {
    let mut caller = row.callers(1).remove(0);
    caller.run(CALLS);
    caller
}
