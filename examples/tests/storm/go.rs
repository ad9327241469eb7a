//! The plugin is a Go program that knows nothing of us.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay::{Method, Methods, Stack, Supervisor};
use mainstay_examples::kv;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{GetRequest, PutRequest};
use mainstay_plugin::Launcher;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tonic::Code;

use crate::fleet::{LASTS, TWO, signal};

const CALLERS: u64 = 64;
/// Its start takes 70 ms of a processor, as its certificates are dear.
const EVERY: Duration = Duration::from_millis(200);

/// Its store is empty whenever it starts; to put a value twice does no more than to put it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_that_a_go_plugin_is_killed_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = Launcher::new(program(), kv::cookie().unwrap(), kv::VERSION)
        .with_auto_mtls()
        .with_current_dir(dir.path())
        .with_variable("TMPDIR", dir.path());
    let instances = Supervisor::new(plugin, TWO).with_name("go").start();
    instances.ready().await.unwrap();
    let methods = Methods::new()
        .with_method("proto.KV/Get", Method::unary().idempotent())
        .with_method("proto.KV/Put", Method::unary().idempotent());
    let stack = Stack::new(methods).over(&instances);

    let calls = Arc::<AtomicU64>::default();
    let end = Instant::now() + LASTS;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (mut client, calls) = (KvClient::new(stack.clone()), calls.clone());
        callers.spawn(async move {
            while Instant::now() < end {
                let key = format!("key-{caller}");
                let value = key.clone().into_bytes();
                let put = PutRequest {
                    key: key.clone(),
                    value,
                };
                client.put(put).await.expect("nothing fails");
                match client.get(GetRequest { key: key.clone() }).await {
                    Ok(got) => assert_eq!(got.get_ref().value, key.as_bytes()),
                    // By an instance that was not there when it was put.
                    Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
                }
                calls.fetch_add(2, Ordering::Relaxed);
            }
        });
    }
    let mut ticks = interval(EVERY);
    let mut killed = Vec::new();
    while ticks.tick().await < end {
        let running = instances.snapshot().running;
        let next = running
            .iter()
            .map(|it| it.pid)
            .find(|it| !killed.contains(it));
        if let Some(pid) = next {
            killed.push(pid);
            signal(pid, Signal::KILL);
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let counted = stack.snapshot().calls;
    let calls = calls.load(Ordering::Relaxed);
    println!(
        "{calls} calls, {} attempts, {} kills",
        counted.attempts,
        killed.len()
    );
    drop(stack);
    instances.drain(Duration::from_secs(10)).await.unwrap();
    assert!(killed.len() > 5);
    assert!(counted.attempts as f64 <= 1.05 * calls as f64);
}

/// Where `cargo xtask test` builds it.
fn program() -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_PEERS").map(PathBuf::from);
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
    let program = folder.unwrap_or_else(built).join("go-kv-plugin");
    assert!(
        program.exists(),
        "{} is built by `cargo xtask test`",
        program.display()
    );
    program
}
