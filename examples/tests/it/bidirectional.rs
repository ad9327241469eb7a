use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mainstay_examples::counter::{self, OFFERED};
use mainstay_examples::counter_proto::add_helper_client::AddHelperClient;
use mainstay_examples::counter_proto::counter_client::CounterClient;
use mainstay_examples::counter_proto::{GetRequest, PutRequest, SumRequest};
use mainstay_examples::kv;
use mainstay_plugin::{Address, Instance, Launcher, StoppedBy};
use tokio::process::Command;
use tokio::task::JoinSet;
use tonic::Code;

use crate::processes::{files_in, printed, ran};
use crate::wait::soon;

const PLUGIN: &str = env!("CARGO_BIN_EXE_bidirectional_plugin");

/// With mutual TLS, and without.
const OPTIONS: [&[&str]; 2] = [&[], &["--plain"]];

#[tokio::test]
async fn the_host_adds_up_what_its_plugin_keeps() {
    let dir = tempfile::tempdir().unwrap();
    for options in OPTIONS {
        for (values, sum) in [(&["40"][..], "40\n"), (&["1", "2", "-45"], "-42\n")] {
            let mut host = bidirectional_host(options);
            host.args(["--plugin", PLUGIN, "key"]).args(values);
            assert_eq!(printed(&mut host, dir.path()).await, sum);
        }
    }
}

/// The error is made in the host, told to the plugin over the brokered connection, and by it to the
/// host.
#[tokio::test]
async fn what_the_host_refuses_to_add_is_told_all_the_way_round() {
    let dir = tempfile::tempdir().unwrap();
    for options in OPTIONS {
        let mut host = bidirectional_host(options);
        host.args(["--plugin", PLUGIN, "key", &i64::MAX.to_string(), "1"]);
        let output = ran(&mut host, dir.path()).await;
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("the sum is beyond 64 bits"), "{told}");
    }
}

#[tokio::test]
async fn a_host_calls_what_its_plugin_offers() {
    for launcher in launchers() {
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

#[tokio::test]
async fn calls_at_once_have_a_connection_each_and_leave_none() {
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        let client = CounterClient::new(plugin.connect().await.unwrap());
        let broker = plugin.broker().await.unwrap();
        let mut puts = JoinSet::new();
        for n in 0..32 {
            let (mut client, broker) = (client.clone(), broker.clone());
            puts.spawn(async move {
                let key = n.to_string();
                counter::put(&mut client, &broker, &key, n).await.unwrap();
                let sum = client.get(GetRequest { key }).await.unwrap();
                assert_eq!(sum.into_inner().value, n);
            });
        }
        while let Some(put) = soon("all calls", puts.join_next()).await {
            put.unwrap();
        }
        // Its own, and that of what it offers.
        let files = files_in(socket_dir(&plugin).as_path());
        assert_eq!(files.len(), 2, "{files:?}");
        soon("its end", plugin.stop()).await.unwrap();
    }
}

/// It takes those five seconds, since the plugin's clock cannot be paused from here.
#[tokio::test]
async fn a_number_that_the_host_does_not_accept_is_named_by_the_plugin_after_five_seconds() {
    let [plain, _] = launchers();
    let plugin = plain.launch().await.unwrap();
    let mut client = CounterClient::new(plugin.connect().await.unwrap());
    let request = PutRequest {
        add_server: 77,
        ..PutRequest::default()
    };
    let began = Instant::now();
    let status = soon("a refusal", client.put(request)).await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_secs(5), "{status}");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "brokered connection 77: the other side did not announce within 5s where it accepts it"
    );
    soon("its end", plugin.stop()).await.unwrap();
}

fn bidirectional_host(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bidirectional_host"));
    command
        .args(options)
        .env_remove("COUNTER_PLUGIN")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Plain, and with mutual TLS.
fn launchers() -> [Launcher; 2] {
    let launcher = Launcher::new(Path::new(PLUGIN), kv::cookie().unwrap(), kv::VERSION);
    [launcher.clone(), launcher.with_auto_mtls()]
}

fn socket_dir(plugin: &Instance) -> std::path::PathBuf {
    let Address::Unix(socket) = plugin.connector().address() else {
        panic!("{plugin:?}")
    };
    socket.parent().unwrap().to_owned()
}
