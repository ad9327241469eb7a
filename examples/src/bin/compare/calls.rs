use comfy_table::{Table, presets};
use indicatif::HumanCount;

use crate::figures::Pairs;
use crate::go_host::{self, figure};
use crate::programs::Programs;
use crate::{Arguments, BoxError, Report};

const CASES: [(&str, bool, u16); 4] = [
    ("plain, 1 caller", false, 1),
    ("plain, 64 callers", false, 64),
    ("AutoMTLS, 1 caller", true, 1),
    ("AutoMTLS, 64 callers", true, 64),
];

/// Calls through our plugin and through Go's, of the same Go host.
pub(crate) async fn compare(
    arguments: &Arguments,
    programs: &Programs,
    report: &Report,
) -> Result<Table, BoxError> {
    let seconds = arguments.seconds.to_string();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "",
        "ours",
        "Go's",
        "ratio",
        "p50, ours",
        "Go's",
    ]);
    for (name, tls, callers) in CASES {
        let callers = callers.to_string();
        let command = ["bench", "--seconds", &seconds, "--concurrency", &callers];
        let (mut per_second, mut p50) = (Pairs::default(), Pairs::default());
        for round in 1..=arguments.rounds {
            report.doing(format!("calls, {name}: {round} of {}", arguments.rounds));
            let ours = go_host::run(programs, &programs.plugin, tls, &command).await?;
            let go = go_host::run(programs, &programs.go_plugin, tls, &command).await?;
            per_second.push(figure(&ours, "per_second")?, figure(&go, "per_second")?);
            p50.push(figure(&ours, "p50_us")?, figure(&go, "p50_us")?);
        }
        table.add_row([
            name.to_owned(),
            HumanCount(per_second.ours() as u64).to_string(),
            HumanCount(per_second.go() as u64).to_string(),
            per_second.ratio(),
            format!("{:.0} us", p50.ours()),
            format!("{:.0} us", p50.go()),
        ]);
    }
    Ok(table)
}
