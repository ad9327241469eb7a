//! Servers that others have written, over real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use mainstay_tasks::{Phase, Shutdown, ShutdownReport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::util::MapFutureLayer;

/// What is in flight until the test lets it go on.
#[derive(Clone, Default)]
struct Gate(Arc<(Notify, Notify)>);

impl Gate {
    async fn pass(&self) {
        self.0.0.notify_one();
        self.0.1.notified().await;
    }

    async fn is_reached(&self) {
        self.0.0.notified().await;
    }

    fn open(&self) {
        self.0.1.notify_one();
    }
}

#[tokio::test]
async fn a_tonic_server_says_not_serving_then_accepts_no_more_and_answers_what_it_has() {
    let (shutdown, gate) = (Shutdown::new(), Gate::default());
    let (reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();

    // The first call is slow.
    let (is_first, held) = (Arc::new(AtomicBool::new(true)), gate.clone());
    let slow = MapFutureLayer::new(move |call| {
        let held = is_first.swap(false, SeqCst).then(|| held.clone());
        async move {
            if let Some(gate) = held {
                gate.pass().await;
            }
            call.await
        }
    });
    let server = async move |stopping: CancellationToken| {
        let mut server = tonic::transport::Server::builder().layer(slow);
        let incoming = TcpIncoming::from(listener);
        let server = server.add_service(health);
        let stopped = stopping.cancelled_owned();
        server
            .serve_with_incoming_shutdown(incoming, stopped)
            .await?;
        Ok(())
    };
    shutdown.serve("grpc", server).unwrap();
    let not_serving = async move || {
        reporter
            .set_service_status("", tonic_health::ServingStatus::NotServing)
            .await;
        // A new connection is still accepted.
        assert_eq!(check(address).await, ServingStatus::NotServing);
        Ok(())
    };
    shutdown.on(Phase::Announce, "health", not_serving).unwrap();

    let in_flight = tokio::spawn(check(address));
    gate.is_reached().await;
    let run = run(&shutdown);
    is_refused(address).await;
    assert!(!run.is_finished());
    gate.open();
    // It was answered after all was said.
    assert_eq!(in_flight.await.unwrap(), ServingStatus::NotServing);
    let report = run.await.unwrap();
    assert!(report.is_clean(), "{report}");
}

async fn check(address: SocketAddr) -> ServingStatus {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    answer.into_inner().status()
}

#[tokio::test]
async fn a_hyper_server_answers_what_it_has_and_closes_what_is_idle() {
    let (shutdown, gate) = (Shutdown::new(), Gate::default());
    let address = serve(&shutdown, &gate).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    request(&mut idle, "/").await;
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    let mut in_flight = TcpStream::connect(address).await.unwrap();
    request(&mut in_flight, "/slow").await;
    gate.is_reached().await;

    let run = run(&shutdown);
    assert_eq!(answer(&mut idle).await, "");
    is_refused(address).await;
    assert!(!run.is_finished());
    gate.open();
    assert!(answer(&mut in_flight).await.starts_with("HTTP/1.1 200"));
    let report = run.await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cut_off_and_counted() {
    let shutdown = Shutdown::new().with_limit(Phase::Drain, Duration::from_millis(50));
    let gate = Gate::default();
    let address = serve(&shutdown, &gate).await;
    let mut in_flight = TcpStream::connect(address).await.unwrap();
    request(&mut in_flight, "/slow").await;
    gate.is_reached().await;

    let report = run(&shutdown).await.unwrap();
    assert_eq!((report.work_overdue, report.work_hung), (1, 0));
    assert_eq!(answer(&mut in_flight).await, "");
}

/// Each connection is work in flight.
async fn serve(shutdown: &Shutdown, gate: &Gate) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (works, gate) = (shutdown.clone(), gate.clone());
    let accept = async move |stopping: CancellationToken| {
        while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
            let (work, stopping, gate) = (works.work(), stopping.clone(), gate.clone());
            let io = TokioIo::new(accepted?.0);
            let handle = service_fn(move |request: Request<Incoming>| {
                let gate = (request.uri().path() == "/slow").then(|| gate.clone());
                async move {
                    if let Some(gate) = gate {
                        gate.pass().await;
                    }
                    Ok::<_, Infallible>(Response::new(String::new()))
                }
            });
            tokio::spawn(async move {
                let mut connection = pin!(http1::Builder::new().serve_connection(io, handle));
                let served = stopping.run_until_cancelled(connection.as_mut()).await;
                if served.is_none() {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ = connection => {}
                        () = work.overdue() => {}
                    }
                }
            });
        }
        Ok(())
    };
    shutdown.serve("http", accept).unwrap();
    address
}

async fn request(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// What comes, or nothing at the end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

fn run(shutdown: &Shutdown) -> tokio::task::JoinHandle<ShutdownReport> {
    shutdown.begin();
    let shutdown = shutdown.clone();
    tokio::spawn(async move { shutdown.run().await })
}

/// Waits until nothing is accepted.
async fn is_refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
