//! Over a channel of tonic's, to a server that is started anew.

use std::path::Path;

use hyper_util::rt::TokioIo;
use mainstay_ttl_cache::{Limits, Ttl};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::answers::AnswerCache;

const CHECK: &str = "grpc.health.v1.Health/Check";

/// In a runtime of its own, with which its connections end as well.
fn serve(path: &Path) -> Runtime {
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let entered = server.enter();
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    let (_, service) = tonic_health::server::health_reporter();
    server.spawn(async move {
        let incoming = futures_util::stream::unfold(listener, |listener| async move {
            Some((listener.accept().await.map(|it| it.0), listener))
        });
        let server = Server::builder().add_service(service);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    drop(entered);
    server
}

fn channel(path: &Path) -> Channel {
    let path = path.to_owned();
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(
        move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        },
    ))
}

#[tokio::test]
async fn a_generated_client_works_over_a_channel_whose_server_goes_and_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let stack = Stack::new(Methods::new().with_method(CHECK, Method::unary().idempotent()));
    let mut client = HealthClient::new(stack.layer(channel(&path)));
    for round in 0..3 {
        let server = serve(&path);
        for _ in 0..10 {
            let request = HealthCheckRequest::default();
            client.check(request).await.expect("it is answered");
        }
        server.shutdown_background();
        // Nobody listens: what never left is tried again until there is no time.
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.set_timeout(ms(100));
        let status = client.check(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{round}: {status:?}");
    }
    let calls = stack.snapshot().calls;
    assert_eq!((calls.succeeded, calls.failed), (30, 3));
}

#[tokio::test]
async fn a_generated_client_is_answered_by_the_cache_when_nobody_serves_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let ttl = Ttl::new(ms(3_600_000)).unwrap();
    let cache = AnswerCache::new(1 << 20, Limits::new(10).unwrap()).unwrap();
    let stack = Stack::new(Methods::new())
        .with_cache(cache.with_method(CHECK, ttl))
        .unwrap();
    let mut client = HealthClient::new(stack.layer(channel(&path)));
    let server = serve(&path);
    let first = client.check(HealthCheckRequest::default()).await.unwrap();
    server.shutdown_background();
    let kept = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(kept.get_ref(), first.get_ref());
    let of_other = HealthCheckRequest {
        service: "other".into(),
    };
    client.check(of_other).await.unwrap_err();
    assert_eq!(stack.snapshot().cache.unwrap().hits, 1);
}
