use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::StreamExt as _;
use tokio_util::either::Either;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service;

use super::stop::Phase;
use super::*;
use crate::certificate::tests::{as_upstream, expired, named_otherwise, pinned};
use crate::connection::fresh;
use crate::generated::Empty;
use crate::generated::grpc_controller_client::GrpcControllerClient;
use crate::line::Address;
use crate::mux::Dialer;
use crate::tls;

/// A server in this process, as `Plugin::run` makes one.
struct Running {
    slow: Slow,
    path: std::path::PathBuf,
    stop: Stop,
    task: JoinHandle<()>,
    /// By which its connections are streams of one.
    dialer: Option<Arc<Dialer>>,
    _dir: tempfile::TempDir,
}

const FOREVER: Duration = Duration::from_secs(3600);

fn acceptor(host: Pinned) -> Result<(TlsAcceptor, Vec<u8>), BoxError> {
    let (tls, certificate) = mutual_tls(host)?;
    Ok((tls.accepting, certificate))
}

fn run(tls: Option<TlsAcceptor>, drain_within: Duration) -> Running {
    run_as(false, tls, drain_within)
}

/// One to whose socket each connection comes, and one to whose they come as streams of the first.
fn run_both(drain_within: Duration) -> [Running; 2] {
    [false, true].map(|multiplexed| run_as(multiplexed, None, drain_within))
}

fn run_as(multiplexed: bool, tls: Option<TlsAcceptor>, drain_within: Duration) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::read(&Cookie::new("K", "v").unwrap(), |name| match name {
        "K" => Some("v".into()),
        "PLUGIN_UNIX_SOCKET_DIR" => Some(dir.path().into()),
        _ => None,
    });
    let listener = Listener::bind(Transport::Unix, &environment.unwrap().unwrap()).unwrap();
    let path = listener.socket_file().unwrap().to_owned();
    let stop = Stop::new();
    let slow = Slow::default();
    let (health, status) = watch::channel(ServingStatus::Serving);
    let server = Server {
        listener,
        tls,
        services: Services::new(
            Routes::new(HealthServer::new(PluginHealth(status)))
                .add_service(GrpcControllerServer::new(Controller(stop.clone()))),
            // Collides with the protocol's own, and must do no harm.
            Routes::new(HealthServer::new(HealthService::from_health_reporter(
                HealthReporter::new(),
            )))
            .add_service(slow.clone()),
        ),
        health,
        stop: stop.clone(),
        drain_within,
        multiplexed: multiplexed.then(|| Address::Unix(path.clone())),
    };
    Running {
        slow,
        dialer: multiplexed.then(|| Arc::new(Dialer::new(Address::Unix(path.clone())))),
        path,
        stop,
        task: tokio::spawn(server.run()),
        _dir: dir,
    }
}

impl Running {
    async fn channel(&self) -> Channel {
        self.channel_over(None).await.unwrap()
    }

    async fn channel_over(
        &self,
        tls: Option<ClientConfig>,
    ) -> Result<Channel, tonic::transport::Error> {
        let (path, tls) = (self.path.clone(), tls.map(Arc::new));
        let dialer = self.dialer.clone();
        let connect = tower::service_fn(move |_| {
            let (path, tls, dialer) = (path.clone(), tls.clone(), dialer.clone());
            async move {
                let socket = match dialer {
                    Some(dialer) => fresh(Either::Right(dialer.open().await?)),
                    None => crate::launch::connect(&Address::Unix(path)).await?,
                };
                let connection: crate::Connection = match tls {
                    None => socket.into(),
                    Some(tls) => {
                        let name = "localhost".try_into().unwrap();
                        let stream = TlsConnector::from(tls).connect(name, socket).await?;
                        tokio_rustls::TlsStream::from(stream).into()
                    }
                };
                Ok::<_, io::Error>(TokioIo::new(connection))
            }
        });
        Endpoint::from_static("http://localhost")
            .connect_with_connector(connect)
            .await
    }

    async fn ended(self) {
        timeout(Duration::from_secs(5), self.task)
            .await
            .unwrap()
            .unwrap();
        assert!(!self.path.exists());
    }
}

async fn check(channel: Channel, service: &str) -> Result<ServingStatus, tonic::Status> {
    let service = service.to_owned();
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest { service })
        .await?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn the_plugin_and_the_whole_server_are_serving_and_nothing_else_is_known() {
    for server in run_both(FOREVER) {
        let channel = server.channel().await;
        for service in ["", "plugin"] {
            assert_eq!(
                check(channel.clone(), service).await.unwrap(),
                ServingStatus::Serving
            );
        }
        let unknown = check(channel, "other").await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
    }
}

#[tokio::test]
async fn a_shutdown_call_is_answered_and_ends_the_server() {
    for server in run_both(FOREVER) {
        let mut controller = GrpcControllerClient::new(server.channel().await);
        controller.shutdown(Empty {}).await.unwrap();
        drop(controller);
        server.ended().await;
    }
}

#[tokio::test]
async fn health_turns_to_not_serving_and_watches_end_when_the_drain_begins() {
    for server in run_both(FOREVER) {
        let mut client = HealthClient::new(server.channel().await);
        let request = |service: &str| HealthCheckRequest {
            service: service.into(),
        };
        let mut known = client.watch(request("plugin")).await.unwrap().into_inner();
        let mut unknown = client.watch(request("other")).await.unwrap().into_inner();
        assert_eq!(
            known.next().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        assert_eq!(
            unknown.next().await.unwrap().unwrap().status(),
            ServingStatus::ServiceUnknown
        );
        server.stop.drain();
        assert_eq!(
            known.next().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        assert!(known.next().await.is_none());
        assert_eq!(
            unknown.next().await.unwrap().unwrap().status(),
            ServingStatus::ServiceUnknown
        );
        assert!(unknown.next().await.is_none());
        server.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_is_cut_off() {
    let server = run(None, Duration::from_millis(1500));
    // Connected and silent: nothing that a drain could wait for an end of.
    let mut silent = UnixStream::connect(&server.path).await.unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\n").await.unwrap();
    tokio::task::yield_now().await;
    let began = Instant::now();
    server.stop.drain();
    server.ended().await;
    assert!(
        began.elapsed() <= Duration::from_millis(1600),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(silent.read(&mut [0; 1024]).await.map(|_| ()).ok(), Some(()));
}

/// Answers when it is told to.
#[derive(Clone, Default)]
struct Slow {
    called: Arc<Notify>,
    answer: Arc<Notify>,
}

impl NamedService for Slow {
    const NAME: &'static str = "test.Slow";
}

impl Service<hyper::Request<Body>> for Slow {
    type Response = hyper::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Request<Body>) -> Self::Future {
        let Self { called, answer } = self.clone();
        Box::pin(async move {
            called.notify_one();
            answer.notified().await;
            Ok(tonic::Status::already_exists("answered").into_http())
        })
    }
}

/// A call that is under way when the drain begins; ends with its status.
async fn call_under_way(server: &Running) -> (Slow, JoinHandle<tonic::Status>) {
    let mut client = tonic::client::Grpc::new(server.channel().await);
    let slow = server.slow.clone();
    let called = tokio::spawn(async move {
        client.ready().await.unwrap();
        let path = "/test.Slow/Call".parse().unwrap();
        let codec = tonic_prost::ProstCodec::<Empty, Empty>::default();
        client
            .unary(tonic::Request::new(Empty {}), path, codec)
            .await
            .unwrap_err()
    });
    slow.called.notified().await;
    (slow, called)
}

#[tokio::test]
async fn a_call_under_way_may_finish() {
    for server in run_both(FOREVER) {
        let (slow, called) = call_under_way(&server).await;
        server.stop.drain();
        while server.path.exists() {
            tokio::task::yield_now().await;
        }
        assert!(!called.is_finished());
        slow.answer.notify_one();
        assert_eq!(called.await.unwrap().message(), "answered");
        server.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_finish_has_the_whole_time_and_is_then_cut_off() {
    for server in run_both(Duration::from_millis(1500)) {
        let (_slow, called) = call_under_way(&server).await;
        let began = Instant::now();
        server.stop.drain();
        server.ended().await;
        assert!(
            began.elapsed() >= Duration::from_millis(1500),
            "{:?}",
            began.elapsed()
        );
        assert_ne!(called.await.unwrap().message(), "answered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_hangs_is_given_up() {
    let (acceptor, _) = acceptor(pinned(&Identity::generate().unwrap())).unwrap();
    let server = run(Some(acceptor), FOREVER);
    let mut silent = UnixStream::connect(&server.path).await.unwrap();
    let began = Instant::now();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_burst_of_calls_that_are_taken_back_does_not_end_the_connection() {
    let server = run(None, FOREVER);
    let stream = UnixStream::connect(&server.path).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = || {
        let uri = "http://localhost/grpc.health.v1.Health/Check";
        hyper::Request::post(uri).body(Body::empty()).unwrap()
    };
    for _ in 0..20 {
        // All are sent, and taken back before the server, in the same thread, has seen them.
        let calls: Vec<_> = (0..90).map(|_| sender.send_request(request())).collect();
        tokio::task::yield_now().await;
        drop(calls);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert!(!connection.is_finished());
    sender.ready().await.unwrap();
    sender.send_request(request()).await.unwrap();
}

#[tokio::test]
async fn the_end_waits_for_nothing() {
    let server = run(None, FOREVER);
    let _silent = UnixStream::connect(&server.path).await.unwrap();
    server.stop.drain();
    server.stop.end();
    server.ended().await;
}

#[tokio::test]
async fn a_stop_never_goes_back() {
    let stop = Stop::new();
    stop.end();
    stop.drain();
    timeout(FOREVER, stop.reached(Phase::Ending)).await.unwrap();
}

#[tokio::test]
async fn whoever_is_refused_the_server_lives_on() {
    let host = as_upstream();
    let (acceptor, certificate) = acceptor(pinned(&host)).unwrap();
    let plugin = || Pinned::from_der(certificate.clone().into()).unwrap();
    let server = run(Some(acceptor), FOREVER);
    // The refusal of a client may come after its own side of the handshake is done.
    let attempt = async |config| match server.channel_over(config).await {
        Ok(channel) => check(channel, "plugin").await.ok(),
        Err(_) => None,
    };

    let mut plain = UnixStream::connect(&server.path).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert_eq!(attempt(None).await, None);
    let _hangs = UnixStream::connect(&server.path).await.unwrap();
    for stranger in [Identity::generate().unwrap(), expired(), named_otherwise()] {
        let config = tls::client_config(stranger, plugin()).unwrap();
        assert_eq!(attempt(Some(config)).await, None);
    }

    let config = tls::client_config(host, plugin()).unwrap();
    assert_eq!(attempt(Some(config)).await, Some(ServingStatus::Serving));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_tls_handshake() {
    let (acceptor, _) = acceptor(pinned(&Identity::generate().unwrap())).unwrap();
    let server = run(Some(acceptor), FOREVER);
    let _silent = UnixStream::connect(&server.path).await.unwrap();
    tokio::task::yield_now().await;
    server.stop.drain();
    server.ended().await;
}

#[test]
fn the_highest_common_version_is_chosen_and_else_the_lowest() {
    let plugin = || {
        let cookie = Cookie::new("K", "v").unwrap();
        let plugin = Plugin::new(cookie, 3, Routes::default());
        let plugin = plugin.with_version(1, Routes::default()).unwrap();
        plugin.with_version(7, Routes::default()).unwrap()
    };
    for (host, chosen) in [
        (&[1, 3, 9][..], 3),
        (&[7, 3], 7),
        (&[1], 1),
        (&[9, 2], 1),
        (&[], 1),
    ] {
        assert_eq!(plugin().choose(host).0, chosen, "{host:?}");
    }
    assert_eq!(
        plugin()
            .with_version(7, Routes::default())
            .unwrap_err()
            .to_string(),
        "app protocol version 7 has services already"
    );
}

/// The host keeps its side of the connection, as it does what it has dialled.
#[tokio::test]
async fn a_multiplexed_connection_does_not_outlive_its_calls() {
    let server = run_as(true, None, FOREVER);
    let channel = server.channel().await;
    let dialer = server.dialer.clone().unwrap();
    assert!(dialer.session().is_some());
    server.stop.drain();
    server.ended().await;
    let ended = async {
        while dialer.session().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), ended).await.unwrap();
    drop(channel);
}

#[tokio::test]
async fn what_speaks_no_yamux_where_streams_are_expected_is_disconnected() {
    let server = run_as(true, None, FOREVER);
    let mut plain = UnixStream::connect(&server.path).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").await.unwrap();
    // A reset is as good: not all that came was read.
    let _ = timeout(Duration::from_secs(5), plain.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    assert_eq!(
        check(server.channel().await, "plugin").await.unwrap(),
        ServingStatus::Serving
    );
    server.stop.drain();
    server.ended().await;
}
