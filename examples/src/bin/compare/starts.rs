use std::time::Instant;

use comfy_table::{Table, presets};
use mainstay_examples::kv;
use mainstay_examples::proto::PutRequest;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_plugin::{Instance, Launcher};

use crate::figures::{Pairs, median};
use crate::go_host::{self, figure};
use crate::programs::Programs;
use crate::{Arguments, BoxError, Report};

/// Starts of each side in a round.
const STARTS: u16 = 10;

/// Our host with our plugin, Go's host with Go's.
pub(crate) async fn compare(
    arguments: &Arguments,
    programs: &Programs,
    report: &Report,
) -> Result<Table, BoxError> {
    let count = STARTS.to_string();
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(["", "ours", "Go's", "ratio"]);
    for (name, tls) in [("plain", false), ("AutoMTLS", true)] {
        let launcher = launcher(programs, tls)?;
        let mut millis = Pairs::default();
        for round in 1..=arguments.rounds {
            report.doing(format!("starts, {name}: {round} of {}", arguments.rounds));
            let mut ours = Vec::new();
            for _ in 0..STARTS {
                let begun = Instant::now();
                let plugin = start(&launcher).await?;
                ours.push(begun.elapsed().as_secs_f64() * 1e3);
                plugin.stop().await?;
            }
            let command = ["start", "--count", &count];
            let go = go_host::run(programs, &programs.go_plugin, tls, &command).await?;
            millis.push(median(&ours), figure(&go, "start_p50_us")? / 1e3);
        }
        table.add_row([
            name.to_owned(),
            format!("{:.1} ms", millis.ours()),
            format!("{:.1} ms", millis.go()),
            millis.ratio(),
        ]);
    }
    Ok(table)
}

pub(crate) fn launcher(programs: &Programs, tls: bool) -> Result<Launcher, BoxError> {
    let launcher = Launcher::new(&programs.plugin, kv::cookie()?, kv::VERSION);
    Ok(if tls {
        launcher.with_auto_mtls()
    } else {
        launcher
    })
}

/// Starts a plugin, and has a first answer of it.
pub(crate) async fn start(launcher: &Launcher) -> Result<Instance, BoxError> {
    let plugin = launcher.launch().await?;
    let mut kv = KvClient::new(plugin.connect().await?);
    let (key, value) = ("first".to_owned(), b"call".to_vec());
    kv.put(PutRequest { key, value }).await?;
    Ok(plugin)
}
