//! A counter plugin that has its host do the adding: hosts of go-plugin's bidirectional example can
//! run it.

use std::process::ExitCode;

use mainstay_examples::counter;

#[tokio::main]
async fn main() -> Result<ExitCode, mainstay_plugin::InvalidCookie> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    Ok(counter::plugin()?.serve().await)
}
