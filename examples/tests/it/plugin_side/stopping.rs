use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{Empty, GetRequest, PutRequest};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_prost::ProstCodec;

use crate::by_hand::{ByHand, as_a_host_would, kv_plugin};
use crate::grpc::{health, shutdown};
use crate::processes::files_in;
use crate::wait::{soon, until};

/// Nothing is under way, so there is nothing to wait for.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The drain may take 1.5 s, since upstream's hosts kill after 2 s; the rest is for a loaded machine.
const DRAINED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_signal_to_stop_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::HUP] {
        let dir = tempfile::tempdir().unwrap();
        // Tests may run where a hangup is ignored, which children inherit.
        let mut command = Command::new("/usr/bin/env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_kv_plugin")]);
        as_a_host_would(&mut command, dir.path());
        let plugin = ByHand::start(command).await;
        // The client stays, as a host's does.
        let channel = plugin.channel().await;
        soon("a call", health(channel.clone(), "plugin"))
            .await
            .unwrap();
        plugin.signal(signal);
        is_clean(&plugin.ended(AT_ONCE).await, dir.path());
    }
}

#[tokio::test]
async fn an_interrupt_is_the_hosts_to_handle() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let mut kv = KvClient::new(plugin.channel().await);
    let (key, value) = ("key".to_owned(), b"value".to_vec());
    kv.put(PutRequest {
        key: key.clone(),
        value: value.clone(),
    })
    .await
    .unwrap();
    for _ in 0..10 {
        plugin.signal(Signal::INT);
        let answer = soon("a call", kv.get(GetRequest { key: key.clone() })).await;
        assert_eq!(answer.unwrap().into_inner().value, value);
    }
    plugin.signal(Signal::TERM);
    is_clean(&plugin.ended(AT_ONCE).await, dir.path());
}

#[tokio::test]
async fn a_shutdown_call_is_answered_and_ends_it_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let channel = plugin.channel().await;
    soon("the answer", shutdown(channel.clone())).await.unwrap();
    is_clean(&plugin.ended(AT_ONCE).await, dir.path());
    drop(channel);
}

#[tokio::test]
async fn a_call_under_way_may_finish_while_it_drains() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let mut kv = KvClient::new(plugin.channel().await);
    let (key, value) = ("key".to_owned(), b"value".to_vec());
    let slow = SlowPut::begin(&plugin).await;
    plugin.signal(Signal::TERM);
    // The socket file goes first.
    until("its files", vec![], AT_ONCE, || files_in(dir.path())).await;
    assert!(!slow.call.is_finished());
    slow.message
        .send(PutRequest {
            key: key.clone(),
            value,
        })
        .unwrap();
    drop(slow.message);
    soon("its answer", slow.call).await.unwrap().unwrap();
    is_clean(&plugin.ended(AT_ONCE).await, dir.path());
    // New calls are no longer taken.
    soon("a refusal", kv.get(GetRequest { key }))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_call_that_does_not_finish_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let slow = SlowPut::begin(&plugin).await;
    soon("the answer", shutdown(plugin.channel().await))
        .await
        .unwrap();
    is_clean(&plugin.ended(DRAINED).await, dir.path());
    soon("its end", slow.call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_signal_while_it_drains_cuts_the_drain_short() {
    for is_called in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let plugin = ByHand::start(kv_plugin(dir.path())).await;
        let slow = SlowPut::begin(&plugin).await;
        if is_called {
            soon("the answer", shutdown(plugin.channel().await))
                .await
                .unwrap();
        } else {
            plugin.signal(Signal::TERM);
        }
        until("its files", vec![], AT_ONCE, || files_in(dir.path())).await;
        plugin.signal(Signal::TERM);
        is_clean(&plugin.ended(AT_ONCE).await, dir.path());
        soon("its end", slow.call).await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_hangup_that_it_was_started_to_ignore_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    let script = r#"trap "" HUP; exec "$0""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_kv_plugin")]);
    as_a_host_would(&mut command, dir.path());
    let plugin = ByHand::start(command).await;
    let channel = plugin.channel().await;
    for _ in 0..10 {
        plugin.signal(Signal::HUP);
        let answer = soon("a call", health(channel.clone(), "plugin")).await;
        assert_eq!(answer.unwrap(), ServingStatus::Serving);
    }
    plugin.signal(Signal::TERM);
    is_clean(&plugin.ended(AT_ONCE).await, dir.path());
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_keep_it_beyond_the_drain() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let _silent = plugin.connect().await;
    // It has been accepted when one that came later is served.
    soon("a call", health(plugin.channel().await, "plugin"))
        .await
        .unwrap();
    plugin.signal(Signal::TERM);
    is_clean(&plugin.ended(DRAINED).await, dir.path());
}

/// Logging fails then, and that must be all that does.
#[tokio::test]
async fn it_stops_cleanly_when_nobody_reads_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kv_plugin(dir.path());
    command.env("RUST_LOG", "trace");
    let mut plugin = ByHand::start(command).await;
    plugin.close_stderr();
    let channel = plugin.channel().await;
    soon("the answer", shutdown(channel)).await.unwrap();
    is_clean(&plugin.ended(DRAINED).await, dir.path());
}

fn is_clean(output: &Output, dir: &Path) {
    let status = output.status;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status.code(), Some(0), "{:?}: {stderr}", status.signal());
    assert_eq!(stderr, "");
    assert_eq!(files_in(dir), [""; 0]);
}

/// A put that is under way until its message is sent.
struct SlowPut {
    message: mpsc::UnboundedSender<PutRequest>,
    call: JoinHandle<Result<Response<Empty>, Status>>,
}

impl SlowPut {
    async fn begin(plugin: &ByHand) -> Self {
        let channel = plugin.channel().await;
        let (message, messages) = mpsc::unbounded_channel();
        let call = tokio::spawn(put(channel.clone(), messages));
        // The first one lets it be sent, and the second one comes to the plugin after it.
        for _ in 0..2 {
            soon("a call", health(channel.clone(), "plugin"))
                .await
                .unwrap();
        }
        Self { message, call }
    }
}

async fn put(
    channel: Channel,
    messages: mpsc::UnboundedReceiver<PutRequest>,
) -> Result<Response<Empty>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/proto.KV/Put");
    let codec = ProstCodec::<PutRequest, Empty>::default();
    let request = Request::new(UnboundedReceiverStream::new(messages));
    grpc.client_streaming(request, path, codec).await
}
