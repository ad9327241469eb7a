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

/// Keeps the results of a group, and makes its plots.
pub(crate) fn keep(group: &str, results: &Results) -> Result<(), Box<dyn Error>> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let json = serde_json::to_string_pretty(results)?;
    fs::write(folder.join(group).with_extension("json"), json + "\n")?;
    for scenario in &results.scenarios {
        let path = folder.join(plot_name(group, &scenario.name));
        fs::write(path, plot::draw(scenario)?)?;
    }
    Ok(())
}

/// Makes RESULTS.md anew, of all results that are kept: those of this run, and those of groups that it left out.
pub(crate) fn write_page() -> Result<(), Box<dyn Error>> {
    let mut page = String::from(page::HEAD);
    for group in groups::all() {
        let path = folder().join(group.name).with_extension("json");
        if path.exists() {
            let results: Results = serde_json::from_str(&fs::read_to_string(path)?)?;
            page += &page::section(group.name, &results);
        }
    }
    fs::write(package().join("RESULTS.md"), page)?;
    Ok(())
}

fn plot_name(group: &str, scenario: &str) -> String {
    let words = scenario.split(|it: char| !it.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|it| !it.is_empty()).collect();
    format!("{group}-{}.svg", words.join("-"))
}

fn folder() -> PathBuf {
    package().join("results")
}

pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
