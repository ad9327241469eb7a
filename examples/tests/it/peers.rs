mod counter;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mainstay_examples::kv;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{GetRequest, PutRequest};
use mainstay_plugin::{Address, Instance, Launcher, StoppedBy};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::processes::{self, files_in, printed};
use crate::wait::{soon, until};

const KV_PLUGIN: &str = env!("CARGO_BIN_EXE_kv_plugin");

/// Plain, and with mutual TLS.
const GO_HOST: [&[&str]; 2] = [&[], &["--auto-mtls"]];

#[tokio::test]
async fn a_go_host_puts_and_gets() {
    let dir = tempfile::tempdir().unwrap();
    for options in GO_HOST {
        let mut host = go_host(options, dir.path());
        host.args(["put-get", "key", "a value"]);
        assert_eq!(printed(&mut host, dir.path()).await, "a value\n");
    }
}

#[tokio::test]
async fn a_go_host_is_told_the_version() {
    let dir = tempfile::tempdir().unwrap();
    for options in GO_HOST {
        let mut host = go_host(options, dir.path());
        host.arg("versions");
        assert_eq!(printed(&mut host, dir.path()).await, "1\n");
    }
}

#[tokio::test]
async fn a_go_host_sees_no_call_fail_under_load() {
    let dir = tempfile::tempdir().unwrap();
    for options in GO_HOST {
        for callers in ["1", "64"] {
            let mut host = go_host(options, dir.path());
            host.args(["bench", "--seconds", "0.5", "--concurrency", callers]);
            let report = printed(&mut host, dir.path()).await;
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["failures"], 0, "{report}");
            assert!(report["calls"].as_u64().unwrap() > 0, "{report}");
        }
    }
}

#[tokio::test]
async fn a_go_host_that_is_killed_takes_the_plugin_with_it() {
    for options in GO_HOST {
        let dir = tempfile::tempdir().unwrap();
        let mut command = go_host(options, dir.path());
        command.arg("hold");
        let mut host = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
        let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
        let plugin: u32 = line.strip_prefix("pid=").unwrap().parse().unwrap();
        assert!(processes::runs(plugin));
        assert_eq!(files_in(dir.path()).len(), 1);

        host.start_kill().unwrap();
        soon("the host's end", host.wait()).await.unwrap();
        let within = Duration::from_secs(1);
        until("whether the plugin runs", false, within, || {
            processes::runs(plugin)
        })
        .await;
        assert_eq!(files_in(dir.path()), [""; 0]);
    }
}

#[tokio::test]
async fn our_host_uses_a_go_plugin_and_stops_it_by_the_shutdown_call() {
    for launcher in go_plugins() {
        let plugin = launcher.launch().await.unwrap();
        let (pid, socket) = (plugin.pid(), socket(&plugin));
        assert_eq!(plugin.version(), 1);
        soon("a check", plugin.check_health()).await.unwrap();
        let mut kv = KvClient::new(plugin.connect().await.unwrap());
        let (key, value) = ("key".to_owned(), b"value".to_vec());
        let request = PutRequest {
            key: key.clone(),
            value: value.clone(),
        };
        soon("a put", kv.put(request)).await.unwrap();
        let answer = soon("a get", kv.get(GetRequest { key })).await.unwrap();
        assert_eq!(answer.into_inner().value, value);

        let stopped = soon("its end", plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
        assert_eq!(stopped.exit().status().unwrap().code(), Some(0));
        assert!(!processes::exists(pid));
        assert!(!socket.exists());
    }
}

/// It knows nothing of `PLUGIN_UNIX_SOCKET_DIR`, and what was killed cannot clean up.
#[tokio::test]
async fn a_go_plugin_that_is_dropped_leaves_neither_process_nor_socket() {
    for launcher in go_plugins() {
        for killed in [false, true] {
            let plugin = launcher.launch().await.unwrap();
            let (pid, socket) = (plugin.pid(), socket(&plugin));
            assert!(socket.exists());
            plugin.connect().await.unwrap();
            if killed {
                processes::signal(pid, Signal::KILL);
                soon("its end", plugin.exited()).await;
                assert!(socket.exists());
            }
            drop(plugin);
            assert!(!processes::exists(pid));
            assert!(!socket.exists());
        }
    }
}

#[tokio::test]
async fn kv_host_uses_a_go_plugin() {
    let dir = tempfile::tempdir().unwrap();
    for options in [&[][..], &["--plain"]] {
        let mut host = Command::new(env!("CARGO_BIN_EXE_kv_host"));
        host.args(options).arg("--plugin").arg(peer("go-kv-plugin"));
        host.args(["put-get", "key", "a value"])
            .env("TMPDIR", dir.path());
        assert_eq!(printed(&mut host, dir.path()).await, "a value\n");
    }
}

/// Where `cargo xtask test` builds them.
fn peer(name: &str) -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_PEERS").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = folder
        .unwrap_or_else(|| workspace.join("target/peers"))
        .join(name);
    assert!(
        path.exists(),
        "{} is built by `cargo xtask test`",
        path.display()
    );
    path
}

/// Go's host with our plugin. It fails if the plugin does not end cleanly.
fn go_host(options: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(peer("go-kv-host"));
    command
        .args(["--quiet", "--plugin", KV_PLUGIN])
        .args(options)
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Our host with Go's plugin, plain and with mutual TLS.
fn go_plugins() -> [Launcher; 2] {
    let launcher = Launcher::new(peer("go-kv-plugin"), kv::cookie().unwrap(), kv::VERSION);
    [launcher.clone(), launcher.with_auto_mtls()]
}

fn socket(plugin: &Instance) -> PathBuf {
    match plugin.connector().address() {
        Address::Unix(socket) => socket.clone(),
        address => panic!("{address}"),
    }
}
