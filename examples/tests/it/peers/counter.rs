use std::process::Stdio;

use mainstay_examples::counter::OFFERED;
use mainstay_examples::counter_proto::SumRequest;
use mainstay_examples::counter_proto::add_helper_client::AddHelperClient;
use mainstay_examples::kv;
use mainstay_plugin::{Launcher, StoppedBy};
use tokio::process::Command;

use super::{GO_HOST, peer};
use crate::processes::{printed, ran};
use crate::wait::soon;

#[tokio::test]
async fn our_plugin_has_a_go_host_do_the_adding() {
    let dir = tempfile::tempdir().unwrap();
    for options in GO_HOST {
        let mut host = go_host(options);
        host.args(["put", "key", "1", "2", "-45"]);
        assert_eq!(printed(&mut host, dir.path()).await, "-42\n");
    }
}

#[tokio::test]
async fn a_go_host_calls_what_our_plugin_offers() {
    let dir = tempfile::tempdir().unwrap();
    for options in GO_HOST {
        let mut host = go_host(options);
        host.args(["offered", "40", "2"]);
        assert_eq!(printed(&mut host, dir.path()).await, "42\n");
    }
}

#[tokio::test]
async fn a_go_plugin_has_our_host_do_the_adding() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = our_host();
    host.args(["--plain", "key", "1", "2", "-45"]);
    assert_eq!(printed(&mut host, dir.path()).await, "-42\n");
}

/// Not even a Go host gets further with this version. The broker is no use then; the rest is.
#[tokio::test]
async fn a_go_plugin_that_cannot_dial_under_tls_says_so_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut go_host = go_host(&["--auto-mtls"]);
    go_host.arg("--plugin").arg(peer("go-counter-plugin"));
    go_host.args(["put", "key", "1"]).env("TMPDIR", dir.path());
    // It leaves the socket of what the plugin accepts.
    let go_pair = soon("its end", go_host.output()).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let with_ours = ran(our_host().args(["key", "1"]), dir.path()).await;
    for output in [go_pair, with_ours] {
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.contains("certificate is valid for localhost"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_go_plugin_that_does_not_multiplex_is_refused_by_who_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = our_host();
    // This one leaves nothing else behind: only what is still alive can tell of its brokered sockets.
    host.arg("--plugin").arg(peer("go-kv-plugin"));
    host.args(["--plain", "--multiplexed", "key", "1"]);
    let output = ran(&mut host, dir.path()).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    let expected = "it does not multiplex brokered connections, which this host asks for";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn our_host_calls_what_a_go_plugin_offers() {
    let program = peer("go-counter-plugin");
    let plain = Launcher::new(program, kv::cookie().unwrap(), kv::VERSION);
    for launcher in [plain.clone(), plain.with_auto_mtls()] {
        let plugin = launcher.launch().await.unwrap();
        let broker = plugin.broker().await.unwrap();
        let channel = soon("a dial", broker.dial(OFFERED)).await.unwrap();
        let request = SumRequest { a: 40, b: 2 };
        let sum = soon("a call", AddHelperClient::new(channel).sum(request)).await;
        assert_eq!(sum.unwrap().into_inner().r, 42);
        let stopped = soon("its end", plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
    }
}

/// Go's host with our plugin, unless another is named.
fn go_host(options: &[&str]) -> Command {
    let plugin = env!("CARGO_BIN_EXE_bidirectional_plugin");
    let mut command = Command::new(peer("go-counter-host"));
    command
        .args(["--quiet", "--plugin", plugin])
        .args(options)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Our host with Go's plugin, unless another is named.
fn our_host() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bidirectional_host"));
    command
        .env("COUNTER_PLUGIN", peer("go-counter-plugin"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
