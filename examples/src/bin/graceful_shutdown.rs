//! Ends a server in good order: `graceful_shutdown`, then Ctrl-C or SIGTERM.
//!
//! The Python original cancelled its tasks at once instead of bringing to its end what it had accepted,
//! waited without a limit, told nobody before that it would go, and ignored a second signal. Here a signal
//! begins the phases, each of which has a limit: who asks is told that it ends, nothing more is accepted,
//! what was accepted is answered, the tasks are stopped. Who did not end in time is named, and a second
//! signal ends the process at once.

use std::future::pending;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Parser;
use mainstay_examples::program::{self, BoxError};
use mainstay_tasks::{Period, Phase, Shutdown};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Serves HTTP until it is told to end: `/work/MILLISECONDS` takes so long, `/ready` says whether to ask.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many milliseconds what was accepted may take from the signal on.
    #[arg(long, default_value_t = 10_000)]
    drain: u64,
    /// Adds a background task that does not stop when it is asked to.
    #[arg(long)]
    stubborn: bool,
    /// Where it listens.
    #[arg(default_value = "127.0.0.1:0")]
    address: String,
}

static READY: AtomicBool = AtomicBool::new(true);

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let shutdown = Shutdown::on_signals()?
        .with_limit(Phase::Drain, Duration::from_millis(arguments.drain))
        .with_limit(Phase::StopTasks, Duration::from_millis(100));
    shutdown.on(Phase::Announce, "readiness", async || {
        READY.store(false, Relaxed);
        println!("ending");
        Ok(())
    })?;

    let listener = TcpListener::bind(&arguments.address)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.address))?;
    println!("listening on {}", listener.local_addr()?);
    let app = Router::new()
        .route("/ready", get(ready))
        .route("/work/{milliseconds}", get(work));
    shutdown.serve("http", async |stopping| {
        let serving = axum::serve(listener, app);
        Ok(serving
            .with_graceful_shutdown(stopping.cancelled_owned())
            .await?)
    })?;

    let tasks = shutdown.at(Phase::StopTasks);
    tasks.start_periodic(
        "statistics",
        Period::new(Duration::from_millis(20))?,
        async || Ok(()),
    )?;
    if arguments.stubborn {
        tasks.start("stubborn", async |_| pending().await)?;
    }

    let report = shutdown.run().await;
    if report.is_clean() {
        println!("{report}");
        return Ok(());
    }
    Err(report.to_string().into())
}

async fn ready() -> StatusCode {
    if READY.load(Relaxed) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn work(Path(milliseconds): Path<u64>) -> String {
    println!("working");
    sleep(Duration::from_millis(milliseconds)).await;
    format!("worked for {milliseconds} ms")
}
