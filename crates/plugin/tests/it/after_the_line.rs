//! Plugins whose line is right, and that cannot be reached or are not who they say.

use std::path::PathBuf;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use mainstay_plugin::{ConnectError, ConnectFailure, Instance};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::shell::{SOON, Traced};

/// A socket of the test's own, which a script says is its own.
struct Stand {
    traced: Traced,
    dir: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        Self {
            traced: Traced::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    async fn launched(&self, within: Duration, then: &str) -> Instance {
        let script = format!("echo '1|1|unix|{}|grpc'; {then}", self.path().display());
        let launcher = self.traced.launcher(&script).with_connect_within(within);
        launcher.launch().await.unwrap()
    }

    /// Each connection is answered by `answer`; without it none is accepted.
    async fn failure<F>(
        &self,
        within: Duration,
        answer: Option<fn(UnixStream) -> F>,
    ) -> ConnectError
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(self.path()).unwrap();
        let plugin = self.launched(within, "echo busy >&2; sleep 1000").await;
        let serving = async {
            match answer {
                None => std::future::pending().await,
                Some(answer) => loop {
                    tokio::spawn(answer(listener.accept().await.unwrap().0));
                },
            }
        };
        let error = tokio::select! {
            connected = tokio::time::timeout(SOON, plugin.connect()) => connected.unwrap().unwrap_err(),
            () = serving => unreachable!(),
        };
        // Whatever was wrong, the plugin's own words are there.
        assert_eq!(error.stderr(), ["busy"], "{error}");
        error
    }
}

const BRIEFLY: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let stand = Stand::new();
    let plugin = stand.launched(SOON, "sleep 1000").await;
    let error = plugin.connect().await.unwrap_err();
    assert!(
        matches!(error.failure(), ConnectFailure::Socket(_)),
        "{error}"
    );
    assert!(
        error.to_string().contains(stand.path().to_str().unwrap()),
        "{error}"
    );
    assert!(plugin.check_health().await.is_err());
}

#[tokio::test]
async fn one_that_has_ended_is_told_with_its_status_and_last_lines() {
    let stand = Stand::new();
    let plugin = stand
        .launched(SOON, "echo 'out of memory' >&2; exit 9")
        .await;
    let error = plugin.connect().await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Some(9));
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[tokio::test]
async fn one_that_hangs_after_the_line_is_given_up_in_time() {
    let never: Option<fn(UnixStream) -> std::future::Ready<()>> = None;
    let error = Stand::new().failure(BRIEFLY, never).await;
    assert!(matches!(error.failure(), ConnectFailure::Timeout(within) if *within == BRIEFLY));
    assert!(
        error.to_string().contains("did not answer within 300ms"),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_accepts_and_says_nothing_is_given_up_in_time() {
    let error = Stand::new()
        .failure(
            BRIEFLY,
            Some(|mut stream: UnixStream| async move {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }),
        )
        .await;
    assert!(
        matches!(error.failure(), ConnectFailure::Timeout(_)),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_does_not_speak_http_2_is_told_as_such() {
    let error = Stand::new()
        .failure(
            SOON,
            Some(|mut stream: UnixStream| async move {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }),
        )
        .await;
    assert!(
        matches!(error.failure(), ConnectFailure::Grpc(_)),
        "{error}"
    );
    assert!(error.to_string().contains("does not speak gRPC"), "{error}");
}

#[tokio::test]
async fn one_that_hangs_up_is_told_as_such() {
    let error = Stand::new()
        .failure(SOON, Some(|_: UnixStream| async {}))
        .await;
    assert!(
        matches!(error.failure(), ConnectFailure::Grpc(_)),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_does_not_serve_is_told_as_such() {
    let stand = Stand::new();
    let listener = UnixListener::bind(stand.path()).unwrap();
    let plugin = stand.launched(SOON, "sleep 1000").await;
    let health = HealthReporter::new();
    let say = |status| health.set_service_status("plugin", status);
    let serving = async {
        let service = HealthService::from_health_reporter(health.clone());
        let routes = Routes::new(HealthServer::new(service));
        loop {
            let stream = TokioIo::new(listener.accept().await.unwrap().0);
            let http2 = http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(routes.clone());
            tokio::spawn(async move { http2.serve_connection(stream, service).await });
        }
    };
    let asking = async {
        say(ServingStatus::NotServing).await;
        let error = plugin.connect().await.unwrap_err();
        assert!(
            matches!(error.failure(), ConnectFailure::NotServing),
            "{error}"
        );
        say(ServingStatus::Serving).await;
        plugin.connect().await.unwrap();
        plugin.check_health().await.unwrap();
        say(ServingStatus::NotServing).await;
        let error = plugin.check_health().await.unwrap_err();
        assert!(
            matches!(error.failure(), ConnectFailure::NotServing),
            "{error}"
        );
    };
    tokio::select! {
        () = asking => {}
        () = serving => unreachable!(),
    }
}
