use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{GetRequest, PutRequest};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tower::ServiceExt as _;

use super::{client, launcher, launchers};
use crate::grpc::{channel_over, health};
use crate::processes;
use crate::wait::{SOON, soon, until};

#[tokio::test]
async fn what_is_put_is_what_is_got() {
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        assert_eq!(plugin.version(), 1);
        let mut kv = client(&plugin).await;
        put(&mut kv, "key", b"value").await;
        assert_eq!(get(&mut kv, "key").await, b"value");
        let error = kv
            .get(GetRequest {
                key: "other".to_owned(),
            })
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn a_value_of_3_mib_comes_back_whole() {
    let value: Vec<u8> = (0..3 << 20)
        .map(|n: u32| n.to_le_bytes()[n as usize % 3])
        .collect();
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        let mut kv = client(&plugin).await;
        soon("a put", put(&mut kv, "key", &value)).await;
        // No assert_eq, which would print both.
        assert!(soon("a get", get(&mut kv, "key")).await == value);
    }
}

#[tokio::test]
async fn sixty_four_callers_share_a_connection() {
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        let kv = client(&plugin).await;
        let mut callers = JoinSet::new();
        for caller in 0..64 {
            let mut kv = kv.clone();
            callers.spawn(async move {
                for round in 0..10 {
                    let (key, value) = (format!("{caller}"), format!("{caller} {round}"));
                    put(&mut kv, &key, value.as_bytes()).await;
                    assert_eq!(get(&mut kv, &key).await, value.as_bytes());
                }
            });
        }
        soon("all answers", callers.join_all()).await;
    }
}

#[tokio::test]
async fn two_instances_of_a_plugin_know_nothing_of_each_other() {
    let launcher = launcher().with_auto_mtls();
    let (first, second) = (
        launcher.launch().await.unwrap(),
        launcher.launch().await.unwrap(),
    );
    let (mut one, mut two) = (client(&first).await, client(&second).await);
    put(&mut one, "key", b"first").await;
    put(&mut two, "key", b"second").await;
    assert_eq!(get(&mut one, "key").await, b"first");
    soon("its end", first.stop()).await.unwrap();
    assert_eq!(get(&mut two, "key").await, b"second");
}

#[tokio::test]
async fn a_plugin_can_be_connected_to_again() {
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        let mut kv = client(&plugin).await;
        put(&mut kv, "key", b"value").await;
        for _ in 0..3 {
            let stream = plugin.connector().clone().oneshot(()).await.unwrap();
            let channel = channel_over(stream).await.unwrap();
            let status = soon("a check", health(channel.clone(), "plugin")).await;
            assert_eq!(status.unwrap(), ServingStatus::Serving);
            assert_eq!(get(&mut KvClient::new(channel), "key").await, b"value");
        }
        soon("a check", plugin.check_health()).await.unwrap();
    }
}

#[tokio::test]
async fn a_plugin_killed_under_load_ends_all_calls_and_is_told_with_its_last_lines() {
    for launcher in launchers() {
        let plugin = launcher
            .with_variable("RUST_LOG", "mainstay_plugin=debug")
            .launch()
            .await
            .unwrap();
        let kv = client(&plugin).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..64 {
            let (mut kv, answered) = (kv.clone(), Arc::clone(&answered));
            callers.spawn(async move {
                let (key, value) = (format!("{caller}"), vec![0; 1000]);
                loop {
                    let request = PutRequest {
                        key: key.clone(),
                        value: value.clone(),
                    };
                    if let Err(status) = kv.put(request).await {
                        return status;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("enough load", true, SOON, || {
            answered.load(Ordering::Relaxed) > 500
        })
        .await;

        let exited = plugin.exited();
        processes::signal(plugin.pid(), Signal::KILL);
        let exit = soon("its end is told", exited).await;
        assert_eq!(exit.status().unwrap().signal(), Some(Signal::KILL.as_raw()));
        let stderr = exit.stderr().join("\n");
        assert!(stderr.contains("plugin is serving"), "{stderr}");
        for status in soon("all calls end", callers.join_all()).await {
            let lost = matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Cancelled
            );
            assert!(lost, "{status:?}");
        }
        // Those that begin now too; and it is told again.
        let request = GetRequest {
            key: "0".to_owned(),
        };
        soon("a late call ends", kv.clone().get(request))
            .await
            .unwrap_err();
        assert_eq!(soon("its end is told", plugin.exited()).await, exit);
    }
}

async fn put(kv: &mut KvClient<Channel>, key: &str, value: &[u8]) {
    let (key, value) = (key.to_owned(), value.to_owned());
    kv.put(PutRequest { key, value }).await.unwrap();
}

async fn get(kv: &mut KvClient<Channel>, key: &str) -> Vec<u8> {
    let key = key.to_owned();
    kv.get(GetRequest { key }).await.unwrap().into_inner().value
}
