use std::time::{Duration, Instant};

use mainstay_examples::kv;
use mainstay_examples::lookup::{DATA, PERMISSION, QUOTA, STRANGER};
use mainstay_examples::lookup_proto::lookup_client::LookupClient;
use mainstay_examples::lookup_proto::{CountsRequest, Request, Response};
use mainstay_plugin::{Instance, Launcher, StoppedBy};
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Channel;

use crate::wait::soon;

async fn start() -> (Instance, LookupClient<Channel>) {
    let program = env!("CARGO_BIN_EXE_lookup_plugin");
    let launcher = Launcher::new(program, kv::cookie().unwrap(), kv::VERSION);
    let plugin = launcher.with_auto_mtls().launch().await.unwrap();
    let client = LookupClient::new(plugin.connect().await.unwrap());
    (plugin, client)
}

fn request(user: &str) -> Request {
    Request {
        id: "42".to_owned(),
        user: user.to_owned(),
    }
}

async fn counts(client: &mut LookupClient<Channel>) -> [u64; 2] {
    let counts = soon("counts", client.counts(CountsRequest {})).await;
    let counts = counts.unwrap().into_inner();
    [counts.begun, counts.ended]
}

async fn stops(plugin: Instance) {
    let stopped = soon("its end", plugin.stop()).await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Shutdown);
    assert_eq!(stopped.exit().status().unwrap().code(), Some(0));
}

#[tokio::test]
async fn an_answer_takes_as_long_as_the_slowest_of_the_lookups() {
    let (plugin, mut client) = start().await;
    let began = Instant::now();
    let answer = soon("an answer", client.process(request("somebody"))).await;
    let took = began.elapsed();
    let expected = Response {
        data: "what is known of 42".to_owned(),
        authorized: true,
        quota_ok: true,
    };
    assert_eq!(answer.unwrap().into_inner(), expected);
    assert!(took >= DATA && took < DATA + PERMISSION, "{took:?}");
    assert_eq!(counts(&mut client).await, [3, 3]);
    stops(plugin).await;
}

#[tokio::test]
async fn the_failure_of_one_is_told_at_once_and_cancels_the_others() {
    let (plugin, mut client) = start().await;
    let began = Instant::now();
    let answer = soon("an answer", client.process(request(STRANGER))).await;
    let took = began.elapsed();
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "stranger may not ask");
    assert!(took >= PERMISSION && took < DATA, "{took:?}");
    // The plugin's clock cannot be paused: until after the slowest would have ended.
    sleep(DATA).await;
    assert_eq!(counts(&mut client).await, [3, 2]);
    stops(plugin).await;
}

#[tokio::test]
async fn a_caller_that_gives_up_cancels_all() {
    let (plugin, mut client) = start().await;
    let given_up = tokio::time::timeout(QUOTA / 2, client.process(request("somebody"))).await;
    assert!(given_up.is_err());
    // As above.
    sleep(DATA + Duration::from_millis(200)).await;
    assert_eq!(counts(&mut client).await, [3, 0]);
    stops(plugin).await;
}
