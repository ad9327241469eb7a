//! Plugins within the test's own process, and processes that cannot be attached to.

use std::path::Path;

use mainstay_plugin::{Address, ConnectFailure, Cookie, Plugin, Reattach, StoppedBy, Transport};
use tokio::time::timeout;
use tonic::service::Routes;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::shell::SOON;

fn plugin() -> Plugin {
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let plugin = Plugin::new(cookie, 1, Routes::default());
    plugin.with_version(3, Routes::default()).unwrap()
}

fn socket(reattach: &Reattach) -> &Path {
    match reattach.address() {
        Address::Unix(path) => path,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_host_uses_it_and_leaves_it_running() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let plugin = plugin().with_transport(transport);
        let served = plugin.serve_in_process().unwrap();
        assert_eq!(served.reattach().pid(), std::process::id());
        assert_eq!(served.reattach().version(), 3);
        for _ in 0..2 {
            let host = served.reattach().attach().await.unwrap();
            host.check_health().await.unwrap();
            let stopped = host.stop().await.unwrap();
            assert_eq!(stopped.by(), StoppedBy::Nothing);
        }
        timeout(SOON, served.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn its_socket_goes_with_it_and_others_are_not_touched() {
    let [first, second] = [(); 2].map(|()| plugin().serve_in_process().unwrap());
    let reattach = first.reattach().clone();
    let host = reattach.attach().await.unwrap();
    host.check_health().await.unwrap();
    assert!(socket(&reattach).exists());
    timeout(SOON, first.stop()).await.unwrap();
    assert!(!socket(&reattach).exists());
    assert!(host.check_health().await.is_err());
    let gone = reattach.attach().await.unwrap_err();
    assert!(
        matches!(gone.failure(), ConnectFailure::Socket(_)),
        "{gone}"
    );

    let reattach = second.reattach().clone();
    let other = reattach.attach().await.unwrap();
    other.check_health().await.unwrap();
    drop(second);
    // The task is aborted, and has yet to be dropped.
    let gone = async {
        while socket(&reattach).exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.unwrap();
}

#[tokio::test]
async fn reflection_is_a_service_like_others_and_does_not_hold_up_the_end() {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let services = Routes::new(reflection().build_v1().unwrap());
    let services = services.add_service(reflection().build_v1alpha().unwrap());
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let served = Plugin::new(cookie, 1, services).serve_in_process().unwrap();
    let host = served.reattach().attach().await.unwrap();
    let mut client = ServerReflectionClient::new(host.connect().await.unwrap());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    assert!(
        list.service
            .iter()
            .any(|it| it.name == "grpc.health.v1.Health")
    );
    timeout(SOON, served.stop()).await.unwrap();
}

#[tokio::test]
async fn a_process_that_does_not_run_is_not_attached_to() {
    let served = plugin().serve_in_process().unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    for pid in [0, child.id(), i32::MAX as u32, u32::MAX] {
        let address = served.reattach().address().clone();
        let error = Reattach::new(address, 1, pid).attach().await.unwrap_err();
        assert!(matches!(error.failure(), ConnectFailure::Process { .. }));
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
    }
}
