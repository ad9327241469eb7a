//! Runs a chat plugin, says to it what comes on stdin, line by line, and prints what it answers.

use std::path::PathBuf;

use clap::Parser;
use mainstay_examples::chat_proto::Said;
use mainstay_examples::chat_proto::chat_client::ChatClient;
use mainstay_examples::kv;
use mainstay_plugin::{Instance, Launcher};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Says what comes on stdin to a chat plugin, and prints CLIENT, TIME and MESSAGE of what it answers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The plugin's path.
    #[arg(long, env = "CHAT_PLUGIN")]
    plugin: PathBuf,
    /// What the plugin is told.
    arguments: Vec<String>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let code = match run(Arguments::parse()).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("chat_host: {error}");
            1
        }
    };
    // Not by returning: reading stdin blocks a thread, which the runtime would wait for.
    std::process::exit(code)
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let mut launcher = Launcher::new(&arguments.plugin, kv::cookie()?, kv::VERSION);
    for argument in &arguments.arguments {
        launcher = launcher.with_argument(argument);
    }
    let plugin = launcher.with_auto_mtls().launch().await?;
    let chatted = chat(&plugin).await;
    plugin.stop().await?;
    chatted
}

async fn chat(plugin: &Instance) -> Result<(), BoxError> {
    let (say, said) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(message)) = lines.next_line().await {
            if say.send(Said { message }).await.is_err() {
                break;
            }
        }
    });
    let mut client = ChatClient::new(plugin.connect().await?);
    let mut heard = client.talk(ReceiverStream::new(said)).await?.into_inner();
    while let Some(heard) = heard.message().await? {
        println!("{} {:.3} {}", heard.client_id, heard.time, heard.message);
    }
    Ok(())
}
