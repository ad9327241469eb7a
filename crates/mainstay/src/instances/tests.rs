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
