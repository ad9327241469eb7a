//! A key-value plugin in memory: hosts of go-plugin's KV example can run it. With `--tcp` it listens on a
//! port of 127.0.0.1, for hosts that cannot use a unix socket.

use std::process::ExitCode;

use mainstay_examples::kv;
use mainstay_plugin::Transport;

#[tokio::main]
async fn main() -> Result<ExitCode, mainstay_plugin::InvalidCookie> {
    tracing_subscriber::fmt()
        .with_writer(|| mainstay_plugin::Stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let transport = if std::env::args().any(|argument| argument == "--tcp") {
        Transport::Tcp
    } else {
        Transport::Unix
    };
    Ok(kv::plugin()?.with_transport(transport).serve().await)
}
