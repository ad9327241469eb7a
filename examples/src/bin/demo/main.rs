//! A plugin that is killed again and again, and what its callers see of it.
//!
//! This executable is the host and the plugin: the host starts it a second time, with the cookie in
//! its environment.

mod display;
mod instances;
mod load;
mod sabotage;
mod stack;
mod stats;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay_examples::kv;
use mainstay_plugin::{Cookie, Launcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::display::Display;
use self::instances::Supervisor;
use self::load::Load;
use self::stats::Stats;

type BoxError = Box<dyn Error + Send + Sync>;

/// Starts itself as a plugin, calls it from many sides, kills it now and then, and shows what the
/// callers see.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long it goes on; Ctrl-C ends it sooner.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many callers there are at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    callers: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        // As a plugin it may have nobody who reads stderr, and would panic by default.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, BoxError> {
    let cookie = kv::cookie()?;
    if std::env::var_os(cookie.key()).is_some_and(|value| value == cookie.value()) {
        return Ok(kv::plugin()?.serve().await);
    }
    host(Arguments::parse(), cookie).await?;
    Ok(ExitCode::SUCCESS)
}

async fn host(arguments: Arguments, cookie: Cookie) -> Result<(), BoxError> {
    let launcher = Launcher::new(std::env::current_exe()?, cookie, kv::VERSION)
        .with_auto_mtls()
        .with_start_within(Duration::from_secs(10))
        .with_connect_within(Duration::from_secs(10))
        .with_stop_within(Duration::from_secs(10));
    let length = Duration::from_secs(arguments.seconds.into());
    let end = Instant::now() + length;

    let stats = Stats::new()?;
    let display = Display::new(length)?;
    let mut plugin = Supervisor::new(launcher);
    let instances = plugin.instances();
    let mut load = Load::start(
        arguments.callers,
        &stack::client(instances.clone()),
        &instances,
        &stats,
    );
    display.line(&format!(
        "{} callers put and get for {} s, over a unix socket with mutual TLS.",
        arguments.callers, arguments.seconds
    ));
    display.line(&format!(
        "Every {} s the plugin is killed. Nothing tries again yet: a call that meets the",
        sabotage::PERIOD.as_secs()
    ));
    display.line("dead plugin fails, and its caller waits until the plugin is back.");

    let ended = tokio::select! {
        // In this order: Ctrl-C is listened for before anything is started.
        biased;
        told = told_to_stop() => told.map_err(BoxError::from),
        () = sleep_until(end) => Ok(()),
        ended = plugin.run(&stats, &display) => ended.map(|never| match never {}),
        error = load.ended() => Err(error),
        never = sabotage::run(&instances, &display) => match never {},
        never = display.run(&stats, &instances) => match never {},
    };
    load.stop().await;
    let stopped = plugin.stop(&display).await;
    display.finish(&stats);
    ended.and(stopped)
}

/// Resolves at Ctrl-C and SIGTERM, which then no longer end the process by themselves.
async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => told,
        _ = terminate.recv() => Ok(()),
    }
}
