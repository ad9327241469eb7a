//! Runs a counter plugin, and does the adding for it: `bidirectional_host KEY VALUE..` prints the sum.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mainstay_examples::counter_proto::GetRequest;
use mainstay_examples::counter_proto::counter_client::CounterClient;
use mainstay_examples::{counter, kv};
use mainstay_plugin::{Instance, Launcher};

/// Runs a counter plugin, does the adding for it, and prints the sum.
#[derive(Debug, Parser)]
struct Arguments {
    /// The plugin's path.
    #[arg(long, env = "COUNTER_PLUGIN")]
    plugin: PathBuf,
    /// Calls it without TLS: for plugins that do not know AutoMTLS.
    #[arg(long)]
    plain: bool,
    /// Has the brokered connections share the plugin's one socket.
    #[arg(long)]
    multiplexed: bool,
    /// What is counted.
    key: String,
    /// What is added to it, one call each.
    #[arg(required = true, allow_negative_numbers = true)]
    values: Vec<i64>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match run(Arguments::parse()).await {
        Ok(sum) => {
            println!("{sum}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bidirectional_host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<i64, BoxError> {
    let mut launcher = Launcher::new(&arguments.plugin, kv::cookie()?, kv::VERSION);
    if !arguments.plain {
        launcher = launcher.with_auto_mtls();
    }
    if arguments.multiplexed {
        launcher = launcher.with_multiplexing();
    }
    let plugin = launcher.launch().await?;
    let sum = sum(&plugin, &arguments).await;
    plugin.stop().await?;
    sum
}

async fn sum(plugin: &Instance, arguments: &Arguments) -> Result<i64, BoxError> {
    let mut client = CounterClient::new(plugin.connect().await?);
    let broker = plugin.broker().await?;
    for value in &arguments.values {
        counter::put(&mut client, &broker, &arguments.key, *value).await?;
    }
    let key = arguments.key.clone();
    Ok(client.get(GetRequest { key }).await?.into_inner().value)
}
