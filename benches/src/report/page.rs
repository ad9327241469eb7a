use std::fmt::Write as _;

use super::{plot_name, table};
use crate::results::Results;

pub(super) const HEAD: &str = "\
# Results

Made by `cargo xtask bench`; README.md says how things are measured, and what the columns mean. Read ratios rather than \
nanoseconds, which are those of one machine on one day.
";

pub(super) fn section(group: &str, results: &Results) -> String {
    let mut text = String::new();
    let Results {
        title,
        date,
        command,
        machine,
        versions,
        scenarios,
    } = results;
    let versions = versions.join(", ");
    write!(
        text,
        "\n## {title}\n\n{date}, by `{command}`, on {machine}.\n\n{versions}.\n"
    )
    .expect("a string takes all");
    for scenario in scenarios {
        let (name, about) = (&scenario.name, &scenario.about);
        let plot = plot_name(group, name);
        write!(
            text,
            "\n### {title}: {name}\n\n{about}\n\n![{name}](results/{plot})\n"
        )
        .expect("a string takes all");
        for setting in 0..table::settings(scenario) {
            let table = table::text(scenario, setting);
            write!(text, "\n{table}\n").expect("a string takes all");
        }
    }
    text
}
