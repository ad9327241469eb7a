//! A plugin to be killed, stopped and overloaded.

use std::process::ExitCode;

use mainstay_examples::trial;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(|| mainstay_plugin::Stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    Ok(trial::plugin()?.serve().await)
}
