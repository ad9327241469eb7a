//! The facade: a plugin of which two processes are kept running, and a stack around it, so that nobody
//! notices when they die. `facade --plugin ./kv_plugin key a b c` stores three values, and kills all
//! processes before each.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay::{Instances, Method, Methods, Stack, Supervisor};
use mainstay_examples::kv;
use mainstay_examples::program::{self, BoxError};
use mainstay_examples::proto::PutRequest;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_plugin::Launcher;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Stores values in a plugin whose processes are killed.
#[derive(Debug, Parser)]
struct Arguments {
    /// The plugin's path.
    #[arg(long, env = "KV_PLUGIN")]
    plugin: PathBuf,
    /// Kills nothing.
    #[arg(long)]
    peaceful: bool,
    key: String,
    #[arg(required = true)]
    values: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let launcher = Launcher::new(&arguments.plugin, kv::cookie()?, kv::VERSION).with_auto_mtls();
    let instances = Supervisor::new(launcher, TWO).with_name("kv").start();
    instances.ready().await?;
    let stored = store(&instances, &arguments).await;
    println!("processes: {}", instances.snapshot().pool.created);
    instances.drain(Duration::from_secs(5)).await?;
    stored
}

async fn store(instances: &Instances, arguments: &Arguments) -> Result<(), BoxError> {
    // A value can be stored twice: a call may be sent again although its process may have seen it.
    let methods = Methods::new().with_method("proto.KV/Put", Method::unary().idempotent());
    let mut kv = KvClient::new(Stack::new(methods).over(instances));
    for value in &arguments.values {
        if !arguments.peaceful {
            kill_all(instances)?;
        }
        let (key, value) = (arguments.key.clone(), value.clone());
        println!("{key} = {value}");
        let value = value.into_bytes();
        kv.put(PutRequest { key, value }).await?;
    }
    Ok(())
}

/// Takes all of them out of the world without a word, as the kernel does when memory runs out.
fn kill_all(instances: &Instances) -> Result<(), BoxError> {
    for instance in instances.snapshot().running {
        let pid = Pid::from_raw(instance.pid.try_into()?);
        match pid.map(|pid| kill_process(pid, Signal::KILL)) {
            // It was just found dead.
            None | Some(Err(Errno::SRCH)) => {}
            Some(killed) => killed?,
        }
    }
    Ok(())
}
