//! What comes of the figures: tables, RESULTS.md, plots, and whether the budgets hold.

pub(crate) mod budgets;
mod page;
mod plot;
pub(crate) mod table;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use crate::{groups, results::Results};

/// Keeps the results of a group.
pub(crate) fn keep(group: &str, results: &Results) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder())?;
    let json = serde_json::to_string_pretty(results)?;
    Ok(fs::write(file(group), json + "\n")?)
}

/// Makes RESULTS.md and the plots anew, of all results that are kept: those of this run, and those of groups that it
/// left out.
pub(crate) fn publish() -> Result<(), Box<dyn Error>> {
    let mut page = String::from(page::HEAD);
    for group in groups::all() {
        let file = file(group.name);
        if !file.exists() {
            continue;
        }
        let results: Results = serde_json::from_str(&fs::read_to_string(file)?)?;
        page += &page::section(group.name, &results);
        for scenario in &results.scenarios {
            let plot = folder().join(plot_name(group.name, &scenario.name));
            fs::write(plot, plot::draw(scenario)?)?;
        }
    }
    Ok(fs::write(package().join("RESULTS.md"), page)?)
}

fn plot_name(group: &str, scenario: &str) -> String {
    let words = scenario.split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|it| !it.is_empty()).collect();
    format!("{group}-{}.svg", words.join("-"))
}

fn file(group: &str) -> PathBuf {
    folder().join(group).with_extension("json")
}

fn folder() -> PathBuf {
    package().join("results")
}

pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
