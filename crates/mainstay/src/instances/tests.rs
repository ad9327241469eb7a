//! Programs that are no good plugins, and what is said of them.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_conn_pool::{AcquireError, BackendDown};
use mainstay_plugin::{Cookie, Launcher};
use tokio::net::UnixListener;
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::cause::{find_cause, is_caused_by};
use crate::method::Methods;
use crate::stack::Stack;

const SECOND: Duration = Duration::from_secs(1);

fn shell(script: impl Into<String>) -> Supervisor {
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let launcher = Launcher::new("/bin/sh", cookie, 1)
        .with_argument("-c")
        .with_argument(script.into());
    Supervisor::new(launcher, NonZeroU32::MIN).with_name("bad")
}

/// As a status, what a call is told; the same as who waits for the instances to be ready.
async fn told(instances: Instances) -> tonic::Status {
    let Err(AcquireError::BackendDown(_)) = instances.ready().await else {
        panic!("it is ready")
    };
    let stack = Stack::new(Methods::new()).over(&instances);
    let begun = Instant::now();
    let mut client = HealthClient::new(stack);
    let status = client.check(HealthCheckRequest::default()).await;
    let status = status.unwrap_err();
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(is_caused_by::<BackendDown>(&status));
    status
}

#[tokio::test]
async fn one_that_ends_at_once_is_reported_with_its_last_words() {
    let status = told(shell("echo no licence >&2; exit 3").start()).await;
    let message = status.message();
    assert!(
        message.starts_with("backend of bad is down, next try in "),
        "{message}"
    );
    assert!(
        message.contains("no licence") && message.contains('3'),
        "{message}"
    );
}

#[tokio::test]
async fn one_that_says_nothing_is_not_waited_for_longer_than_a_start_may_take() {
    let instances = shell("sleep 1000").with_start_within(SECOND / 2).start();
    let message = told(instances).await.message().to_owned();
    assert!(
        message.contains("has not said where it listens within 500ms"),
        "{message}"
    );
}

/// It listens, and never answers.
#[tokio::test]
async fn one_that_is_mute_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let script = format!("echo '1|1|unix|{}|grpc'; sleep 1000", path.display());
    let instances = shell(script).with_start_within(SECOND / 2).start();
    let status = told(instances).await;
    let why = find_cause::<NotCallable>(&status).expect("it was launched");
    assert_eq!(why.status(), None);
    let expected = format!("plugin with pid {} gave no answer within 500ms", why.pid());
    assert!(
        status.message().ends_with(&expected),
        "{}",
        status.message()
    );
}

/// It has said where it listens before.
#[tokio::test]
async fn one_that_dies_before_its_first_answer_is_reported_with_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let line = format!("1|1|unix|{}|grpc", path.display());
    let script = format!("echo '{line}'; echo out of licences >&2; exit 4");
    let status = told(shell(script).start()).await;
    let why = find_cause::<NotCallable>(&status).expect("it was launched");
    assert_eq!(why.status().and_then(|it| it.code()), Some(4));
    assert_eq!(why.stderr(), ["out of licences"]);
    assert!(
        status.message().contains("out of licences"),
        "{}",
        status.message()
    );
}

/// A health service where the plugin's line says that it listens, for as long as the test lasts.
fn healthy(path: &std::path::Path) -> tonic_health::server::HealthReporter {
    let listener = UnixListener::bind(path).unwrap();
    let (health, service) = tonic_health::server::health_reporter();
    let incoming = futures_util::stream::unfold(listener, |listener| async move {
        Some((listener.accept().await.map(|it| it.0), listener))
    });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    health
}

#[tokio::test]
async fn one_that_does_not_serve_is_not_called_and_one_that_stops_to_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let health = healthy(&path);
    let serving = |it| health.set_service_status("plugin", it);
    serving(tonic_health::ServingStatus::NotServing).await;
    let script = format!("echo '1|1|unix|{}|grpc'; sleep 1000", path.display());
    let message = told(shell(&script).start()).await.message().to_owned();
    assert!(
        message.ends_with("the plugin says that it does not serve"),
        "{message}"
    );

    serving(tonic_health::ServingStatus::Serving).await;
    let often = Duration::from_millis(20);
    let instances = shell(script).with_health_every(often).unwrap().start();
    instances.ready().await.unwrap();
    let first = instances.snapshot().running[0].pid;
    serving(tonic_health::ServingStatus::NotServing).await;
    let begun = Instant::now();
    loop {
        let snapshot = instances.snapshot();
        if snapshot
            .pool
            .closed(mainstay_conn_pool::CloseReason::CheckFailed)
            > 0
        {
            break;
        }
        assert!(begun.elapsed() < 20 * SECOND, "{snapshot:?}");
        // A real sleep: checks are made by the clock, and answered by a socket.
        tokio::time::sleep(often).await;
    }
    serving(tonic_health::ServingStatus::Serving).await;
    while instances
        .snapshot()
        .running
        .iter()
        .all(|it| it.pid == first)
    {
        assert!(begun.elapsed() < 20 * SECOND, "it is not replaced");
        tokio::time::sleep(often).await;
    }
}
