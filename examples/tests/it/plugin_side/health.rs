use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::by_hand::{ByHand, kv_plugin};
use crate::grpc::health;
use crate::wait::soon;

#[tokio::test]
async fn the_plugin_and_the_whole_server_serve_and_nothing_else_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let channel = plugin.channel().await;
    for name in ["plugin", ""] {
        let status = soon("a check", health(channel.clone(), name)).await;
        assert_eq!(status.unwrap(), ServingStatus::Serving, "{name:?}");
    }
    for name in ["Plugin", "proto.KV", "plugin "] {
        let status = soon("a check", health(channel.clone(), name)).await;
        assert_eq!(status.unwrap_err().code(), Code::NotFound, "{name:?}");
    }
}

#[tokio::test]
async fn a_watch_sees_the_drain_begin_and_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let service = "plugin".to_owned();
    let mut health = HealthClient::new(plugin.channel().await);
    let mut watch = soon("a watch", health.watch(HealthCheckRequest { service }))
        .await
        .unwrap()
        .into_inner();
    let serving = soon("a status", watch.message()).await.unwrap().unwrap();
    assert_eq!(serving.status(), ServingStatus::Serving);

    let told = Instant::now();
    plugin.signal(Signal::TERM);
    let draining = soon("a status", watch.message()).await.unwrap().unwrap();
    assert_eq!(draining.status(), ServingStatus::NotServing);
    assert_eq!(soon("its end", watch.message()).await.unwrap(), None);
    // The client is still there, and the drain may take 1.5 s.
    let output = plugin.ended(Duration::from_secs(1)).await;
    assert!(told.elapsed() < Duration::from_millis(1250));
    assert_eq!(output.status.code(), Some(0));
}
