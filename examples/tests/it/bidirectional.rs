use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mainstay_examples::counter::{self, OFFERED};
use mainstay_examples::counter_proto::add_helper_client::AddHelperClient;
use mainstay_examples::counter_proto::counter_client::CounterClient;
use mainstay_examples::counter_proto::{GetRequest, PutRequest, SumRequest};
use mainstay_examples::kv;
use mainstay_plugin::{Address, Instance, Launcher, StoppedBy};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::task::JoinSet;
use tonic::Code;

use crate::by_hand::{ByHand, as_a_host_would};
use crate::processes::{files_in, printed, ran};
use crate::wait::soon;

const PLUGIN: &str = env!("CARGO_BIN_EXE_bidirectional_plugin");

/// With mutual TLS, and without; each connection with a socket of its own, or all over one.
const OPTIONS: [&[&str]; 4] = [
    &[],
    &["--plain"],
    &["--multiplexed"],
    &["--plain", "--multiplexed"],
];

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
    // Its own socket, and that of what it offers; or the one that carries all.
    for (launcher, sockets) in launchers().into_iter().zip([2, 2, 1, 1]) {
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
        let files = files_in(socket_dir(&plugin).as_path());
        assert_eq!(files.len(), sockets, "{files:?}");
        let stopped = soon("its end", plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
    }
}

/// It takes those five seconds, since the plugin's clock cannot be paused from here.
#[tokio::test]
async fn a_number_that_the_host_does_not_accept_is_named_by_the_plugin_after_five_seconds() {
    let [plain, _, multiplexed, _] = launchers();
    let [plain, multiplexed] = [plain, multiplexed].map(|launcher| {
        tokio::spawn(async move {
            let plugin = launcher.launch().await.unwrap();
            let mut client = CounterClient::new(plugin.connect().await.unwrap());
            let request = PutRequest {
                add_server: 77,
                ..PutRequest::default()
            };
            let began = Instant::now();
            let status = soon("a refusal", client.put(request)).await.unwrap_err();
            assert!(began.elapsed() >= Duration::from_secs(5), "{status}");
            assert_eq!(status.code(), Code::Unavailable);
            soon("its end", plugin.stop()).await.unwrap();
            status.message().to_owned()
        })
    });
    assert_eq!(
        plain.await.unwrap(),
        "brokered connection 77: the other side did not announce within 5s where it accepts it"
    );
    assert_eq!(
        multiplexed.await.unwrap(),
        "brokered connection 77: the other side did not answer the knock within 5s: it does not \
         accept it"
    );
}

/// Upstream's leaves it.
#[tokio::test]
async fn a_plugin_that_multiplexes_removes_its_socket_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(PLUGIN);
    as_a_host_would(&mut command, dir.path());
    command.env("PLUGIN_MULTIPLEX_GRPC", "true");
    let plugin = ByHand::start(command).await;
    // As a Go host opens its first stream: the header of an empty window update that begins stream 1;
    // and as it is taken.
    let mut stream = plugin.connect().await;
    stream
        .write_all(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])
        .await
        .unwrap();
    loop {
        let mut header = [0; 12];
        soon("a frame", stream.read_exact(&mut header))
            .await
            .unwrap();
        // Type 2 is a ping.
        if header[1] != 2 {
            assert_eq!(header, [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
            break;
        }
    }
    assert_eq!(files_in(dir.path()).len(), 1);
    plugin.signal(Signal::TERM);
    // The stream says nothing, and is cut off when the drain is over.
    let output = plugin.ended(Duration::from_secs(5)).await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(files_in(dir.path()), [""; 0]);
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

/// Plain, and with mutual TLS; and both multiplexed.
fn launchers() -> [Launcher; 4] {
    let plain = Launcher::new(Path::new(PLUGIN), kv::cookie().unwrap(), kv::VERSION);
    let secure = plain.clone().with_auto_mtls();
    let multiplexed = [plain.clone(), secure.clone()].map(Launcher::with_multiplexing);
    let [streams, secure_streams] = multiplexed;
    [plain, secure, streams, secure_streams]
}

fn socket_dir(plugin: &Instance) -> std::path::PathBuf {
    let Address::Unix(socket) = plugin.connector().address() else {
        panic!("{plugin:?}")
    };
    socket.parent().unwrap().to_owned()
}
