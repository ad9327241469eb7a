//! The program that takes times, and reports all that was measured.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    counts::{self, Allocated, CALLS},
    crew::Crew,
    group::{Group, Row, Scenario, Setting},
    groups,
    report::{
        self,
        budgets::{self, Budgets},
        table,
    },
    results::{Counts, Measured, MeasuredRow, Results, Times},
    sample::{self, Effort},
};

/// Threads that call at the same time, at most.
const THREADS: usize = 2;

/// Its whole run: it samples, prints, keeps the results unless the run is brief, and holds the budgets.
#[must_use]
pub fn main() -> ExitCode {
    let has = |argument: &str| env::args().any(|it| it == argument);
    match run(has("--quick"), has("--update-budgets")) {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            eprintln!(
                "budgets do not hold; where that is meant, run `cargo xtask bench --update-budgets`:\n  {}",
                broken.join("\n  "),
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The budgets that are broken.
fn run(quick: bool, update_budgets: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let effort = if quick { sample::BRIEF } else { sample::WHOLE };
    let groups = counts::groups();
    let counts = Counted::read()?;
    let mut budgets = Budgets::read()?;
    let mut broken = Vec::new();
    let crew = Crew::new(THREADS);
    for group in &groups {
        let mut scenarios = Vec::new();
        for scenario in &group.scenarios {
            let measured = measure(group, scenario, effort, &crew, &counts);
            println!("\n{}: {}. {}", group.title, scenario.name, scenario.about);
            for setting in 0..table::settings(&measured) {
                println!("\n{}", table::text(&measured, setting));
            }
            let key = format!("{}/{}", group.name, scenario.name);
            let held = measured.rows.iter().filter(|it| {
                let is_counted = it.counts.allocations.is_some();
                is_counted && budgets::has_budget(it.role)
            });
            let held = held.map(|it| (it.name.as_str(), it.counts));
            if update_budgets {
                budgets.update(&key, held);
            } else {
                let verdict = budgets.check(&key, held);
                for loose in verdict.loose {
                    println!("a budget can be lowered: {loose}");
                }
                broken.extend(verdict.broken);
            }
            scenarios.push(measured);
        }
        if !quick {
            report::keep(group.name, &results(group, scenarios)?)?;
        }
    }
    if !quick {
        report::publish()?;
    }
    if update_budgets {
        budgets.retain(|key| {
            let is_key = |group: &Group| {
                let mut scenarios = group.scenarios.iter();
                scenarios.any(|it| key == format!("{}/{}", group.name, it.name))
            };
            groups::all().iter().any(is_key)
        });
        budgets.write()?;
    }
    Ok(broken)
}

fn measure(
    group: &Group,
    scenario: &Scenario,
    effort: Effort,
    crew: &Crew,
    counts: &Counted,
) -> Measured {
    let mut times: Vec<Vec<Times>> = scenario.rows.iter().map(|_| Vec::new()).collect();
    for &setting in scenario.settings {
        if let Setting::Threads(threads) = setting
            && threads > crew.size()
        {
            println!("left out: {setting}, for want of processors");
            continue;
        }
        let sampled = sample::rows(scenario, setting, effort, crew);
        for (times, sampled) in times.iter_mut().zip(sampled) {
            times.push(sampled);
        }
    }
    let rows = scenario.rows.iter().zip(times);
    Measured {
        name: scenario.name.to_owned(),
        about: scenario.about.to_owned(),
        rows: rows
            .map(|(row, times)| MeasuredRow {
                name: row.name.to_owned(),
                role: row.role,
                times,
                counts: counts.of(&counts::key(group, scenario, row), row),
            })
            .collect(),
    }
}

/// What the other two programs have left.
struct Counted {
    allocations: BTreeMap<String, Allocated>,
    /// Missing where callgrind is.
    instructions: Option<BTreeMap<String, f64>>,
}

impl Counted {
    fn read() -> Result<Self, Box<dyn Error>> {
        let folder = env::var_os(counts::FOLDER).map(PathBuf::from);
        let folder = folder.ok_or("run `cargo xtask bench`")?;
        let allocations = fs::read_to_string(folder.join("allocations.json"))?;
        let instructions = folder.join("instructions.json");
        Ok(Self {
            allocations: serde_json::from_str(&allocations)?,
            instructions: match instructions.exists() {
                true => Some(instructions_of(&fs::read_to_string(instructions)?)?),
                false => None,
            },
        })
    }

    fn of(&self, key: &str, row: &Row) -> Counts {
        let allocated = self.allocations.get(key);
        let instructions = self.instructions.as_ref();
        Counts {
            allocations: allocated.map(|it| it.count),
            bytes: allocated.map(|it| it.bytes),
            held: allocated.map(|it| it.held),
            future: row.future,
            instructions: instructions.and_then(|it| it.get(key).copied()),
        }
    }
}

/// What the counter of instructions tells: one summary for each row, which it knows by its number.
fn instructions_of(summaries: &str) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let keys = counts::keys();
    let mut instructions = BTreeMap::new();
    for summary in serde_json::Deserializer::from_str(summaries).into_iter::<Value>() {
        let summary = summary?;
        let id = summary["id"].as_str();
        let number = id.and_then(|it| it.strip_prefix("row_")?.parse::<usize>().ok());
        let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new");
        let (Some(number), Some(count)) = (number, count.and_then(Value::as_f64)) else {
            return Err(format!("a summary of instructions that cannot be read: {summary}").into());
        };
        let key = keys
            .get(number)
            .ok_or("instructions of a row that is none")?;
        instructions.insert(key.clone(), count / CALLS as f64);
    }
    Ok(instructions)
}

fn results(group: &Group, scenarios: Vec<Measured>) -> Result<Results, Box<dyn Error>> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let said = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
        said.map_err(|error| format!("{program}: {error}"))
    };
    let processors = thread::available_parallelism()?;
    let compiler = said("rustc", &["--version"])?;
    Ok(Results {
        title: group.title.to_owned(),
        date: said("date", &["--utc", "+%F"])?,
        command: format!("cargo xtask bench {}", group.name),
        machine: format!(
            "{processors} processors ({}) under a load of {}, {compiler}",
            processor()?,
            load()?,
        ),
        versions: versions(group.crates)?,
        scenarios,
    })
}

fn processor() -> Result<String, Box<dyn Error>> {
    let information = fs::read_to_string("/proc/cpuinfo")?;
    let model = information.lines().find(|it| it.starts_with("model name"));
    let model = model.and_then(|it| it.split_once(": "));
    Ok(model
        .map_or("of an unknown kind", |(_, model)| model)
        .to_owned())
}

/// How many threads wanted a processor in the last minute, our own two among them: with many more, figures of several
/// threads are worth little.
fn load() -> Result<String, Box<dyn Error>> {
    let averages = fs::read_to_string("/proc/loadavg")?;
    let minute = averages.split(' ').next().unwrap_or_default();
    Ok(minute.to_owned())
}

fn versions(crates: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock = fs::read_to_string(report::package().join("../Cargo.lock"))?;
    let lock: Lock = toml::from_str(&lock)?;
    let packages = crates.iter().flat_map(|name| {
        let packages = lock.package.iter();
        packages.filter(move |it| it.name == *name)
    });
    Ok(packages
        .map(|it| format!("{} {}", it.name, it.version))
        .collect())
}
