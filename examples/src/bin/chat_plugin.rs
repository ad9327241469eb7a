//! A plugin that says everything back, with limits for who is silent, or does not leave.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay_examples::chat::Echo;
use mainstay_examples::chat_proto::chat_server::ChatServer;
use mainstay_examples::kv;
use mainstay_plugin::{InvalidCookie, Plugin};
use tonic::service::Routes;

/// Says everything back.
#[derive(Debug, Parser)]
struct Arguments {
    /// After how many milliseconds of silence a chat ends.
    #[arg(long, default_value_t = 60_000)]
    idle_ms: u64,
    /// After how many milliseconds it ends in any case.
    #[arg(long, default_value_t = 3_600_000)]
    total_ms: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, InvalidCookie> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let Arguments { idle_ms, total_ms } = Arguments::parse();
    let [idle, total] = [idle_ms, total_ms].map(Duration::from_millis);
    let services = Routes::new(ChatServer::new(Echo::new(idle, total)));
    let plugin = Plugin::new(kv::cookie()?, kv::VERSION, services);
    Ok(plugin.serve().await)
}
