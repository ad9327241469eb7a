//! How fast plugins and hosts of ours are beside Go's, and that a thousand starts leave nothing.

mod calls;
mod census;
mod figures;
mod go_host;
mod left;
mod programs;
mod starts;

use std::error::Error;
use std::io::{Write as _, stdout};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use comfy_table::Table;
use indicatif::ProgressBar;

use self::programs::Programs;

type BoxError = Box<dyn Error + Send + Sync>;

/// Measures our plugin and host beside Go's, and what is left of many starts.
///
/// Needs Go's pair, which `cargo xtask test --install-peers` builds, and `kv_plugin`, which
/// `cargo build --release --bins` builds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times each pair is measured, by turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long the calls of a round go on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// How many starts should leave nothing behind.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Only looks what so many starts leave: what this program tells itself, with `TMPDIR` set.
    #[arg(long, hide = true)]
    left_by: Option<u32>,
}

/// Where tables and progress go.
struct Report(ProgressBar);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = Report(ProgressBar::new_spinner());
    let measured = tokio::select! {
        measured = measure(&arguments, &report) => measured,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    report.0.finish_and_clear();
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was left behind.
async fn measure(arguments: &Arguments, report: &Report) -> Result<bool, BoxError> {
    let programs = Programs::find()?;
    if let Some(starts) = arguments.left_by {
        return left::look(starts, &programs, report).await;
    }
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    report.line(&format!(
        "{cores} cores, {}. Medians of {} rounds, by turns; in brackets the least and the most of a\n\
         round. What counts is the ratios: the rest is this machine's.",
        std::env::consts::ARCH,
        arguments.rounds,
    ));
    if cfg!(debug_assertions) {
        report.line("This was built without --release: it says little.");
    }

    let table = calls::compare(arguments, &programs, report).await?;
    report.table(
        "Calls a second of the Go host to our plugin, and to Go's. Wanted with 1 caller: 1.2 times Go's.",
        &table,
    );
    let table = starts::compare(arguments, &programs, report).await?;
    report.table(
        "From start to first answer: our host and plugin, and Go's. Wanted with AutoMTLS: half of Go's.",
        &table,
    );
    report.0.finish_and_clear();
    left::look_apart(arguments.starts).await
}

impl Report {
    /// Says what is being done, to a terminal only.
    fn doing(&self, what: String) {
        self.0.set_message(what);
        self.0.tick();
    }

    fn line(&self, line: &str) {
        // Whoever reads it may have gone, as `head` does.
        let _ = self.0.suspend(|| writeln!(stdout(), "{line}"));
    }

    fn table(&self, title: &str, table: &Table) {
        self.line(&format!("\n{title}\n{table}"));
    }
}
