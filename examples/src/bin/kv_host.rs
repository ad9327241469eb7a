//! Runs a key-value plugin for one call: `kv_host put KEY VALUE`, `kv_host get KEY`.
//!
//! A plugin in memory forgets between two runs; `kv_host put-get KEY VALUE` does both in one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mainstay_examples::kv;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{GetRequest, PutRequest};
use mainstay_plugin::Launcher;
use tonic::transport::Channel;

/// Runs a key-value plugin for one call.
#[derive(Debug, Parser)]
struct Arguments {
    /// The plugin's path.
    #[arg(long, env = "KV_PLUGIN")]
    plugin: PathBuf,
    /// Calls it without TLS: for plugins that do not know AutoMTLS.
    #[arg(long)]
    plain: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stores a value.
    Put { key: String, value: String },
    /// Prints a value.
    Get { key: String },
    /// Stores a value, and prints what is stored.
    PutGet { key: String, value: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv_host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut launcher = Launcher::new(arguments.plugin, kv::cookie()?, kv::VERSION);
    if !arguments.plain {
        launcher = launcher.with_auto_mtls();
    }
    let plugin = launcher.launch().await?;
    let called = call(plugin.connect().await?, arguments.command).await;
    plugin.stop().await?;
    Ok(called?)
}

async fn call(channel: Channel, command: Command) -> Result<(), tonic::Status> {
    let mut kv = KvClient::new(channel);
    let (Command::Put { key, .. } | Command::Get { key } | Command::PutGet { key, .. }) = &command;
    let key = key.clone();
    if let Command::Put { value, .. } | Command::PutGet { value, .. } = &command {
        let (key, value) = (key.clone(), value.clone().into_bytes());
        kv.put(PutRequest { key, value }).await?;
    }
    if !matches!(command, Command::Put { .. }) {
        let answer = kv.get(GetRequest { key }).await?.into_inner();
        println!("{}", String::from_utf8_lossy(&answer.value));
    }
    Ok(())
}
