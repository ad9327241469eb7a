//! A plugin that is killed ten times a second, fails and hangs, and what its callers see of it: with
//! mainstay's stack around it, and without.
//!
//! This executable is the host and the plugin: the host starts it again, with the cookie in its
//! environment.

mod arguments;
mod display;
mod host;
mod load;
mod plain;
mod plugin;
mod report;
mod run;
mod sabotage;
mod seen;
mod stacked;
mod stop;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mainstay_examples::kv;
use mainstay_plugin::{Cookie, Launcher};

use self::arguments::Arguments;
use self::display::line;
use self::plain::Plain;
use self::report::Report;
use self::run::run;
use self::stacked::Stacked;
use self::stop::Stop;

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(|| mainstay_plugin::Stderr)
        // As a plugin it may have nobody who reads stderr, and would panic by default.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match plugin_or_host(&Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprint!("demo: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn plugin_or_host(arguments: &Arguments) -> Result<ExitCode, BoxError> {
    let cookie = kv::cookie()?;
    if std::env::var_os(cookie.key()).is_some_and(|value| value == cookie.value()) {
        return Ok(plugin::plugin(!arguments.no_faults)?.serve().await);
    }
    let stop = Stop::listen()?;
    arguments.explain();
    let with = with_stack(launcher(arguments, cookie.clone())?, arguments, &stop).await?;
    let without = without_stack(launcher(arguments, cookie)?, arguments, &stop).await?;
    let reports: Vec<_> = with.into_iter().chain(without).collect();
    line(&report::table(&reports).to_string());
    // Which nobody expects.
    if let Some(status) = reports
        .first()
        .and_then(|it| it.seen.first_failure.as_ref())
    {
        let title = reports[0].title;
        line(&format!("The first failure {title}: {status:?}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn launcher(arguments: &Arguments, cookie: Cookie) -> io::Result<Launcher> {
    let within = Duration::from_secs(10);
    let launcher = Launcher::new(std::env::current_exe()?, cookie, kv::VERSION)
        .with_auto_mtls()
        .with_start_within(within)
        .with_connect_within(within)
        .with_stop_within(within);
    Ok(if arguments.no_faults {
        launcher.with_argument("--no-faults")
    } else {
        launcher
    })
}

/// None if it was told to stop before it began.
async fn with_stack(
    launcher: Launcher,
    arguments: &Arguments,
    stop: &Stop,
) -> Result<Option<Report>, BoxError> {
    let plugin = tokio::select! {
        biased;
        () = stop.told() => return Ok(None),
        plugin = Stacked::start(launcher, arguments.callers, arguments.attempt_timeout()) => plugin?,
    };
    let report = run("with the stack", &plugin, arguments, stop).await;
    plugin.stop().await?;
    report.map(Some)
}

/// None if it was told to stop before it began.
async fn without_stack(
    launcher: Launcher,
    arguments: &Arguments,
    stop: &Stop,
) -> Result<Option<Report>, BoxError> {
    let plugin = tokio::select! {
        biased;
        () = stop.told() => return Ok(None),
        plugin = Plain::start(launcher) => plugin?,
    };
    let report = run("without", &plugin, arguments, stop).await;
    plugin.stop().await;
    report.map(Some)
}
