//! A key-value plugin in memory: hosts of go-plugin's KV example can run it.

use std::process::ExitCode;

use mainstay_examples::kv;

#[tokio::main]
async fn main() -> Result<ExitCode, mainstay_plugin::InvalidCookie> {
    tracing_subscriber::fmt()
        .with_writer(|| mainstay_plugin::Stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    Ok(kv::plugin()?.serve().await)
}
