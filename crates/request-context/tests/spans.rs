//! What the log says of a request.

use std::{
    convert::Infallible,
    io::{self, Write},
    mem,
    sync::{Arc, Mutex},
};

use http::Request;
use mainstay_request_context::{ClientContextLayer, ServerContextLayer};
use tokio::task::yield_now;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{Level, info, subscriber::set_default};
use tracing_subscriber::fmt;

/// Its fields have these names for good: people search for them.
#[tokio::test(start_paused = true)]
async fn all_that_is_logged_below_stands_in_the_span_of_the_request() {
    let log = Log::default();
    let _guard = log.record(Level::INFO);
    let service = service_fn(|it: Request<()>| {
        info!("called");
        async move {
            yield_now().await;
            let dropped = Dropped;
            info!("polled");
            let _ = (it, dropped);
            Ok::<_, Infallible>(())
        }
    });
    let service = ServerContextLayer::new().layer(ClientContextLayer::new().layer(service));
    let mut request = Request::builder()
        .method("POST")
        .uri("/proto.KV/Get?secret=1")
        .header("x-request-id", "id-1")
        .header("x-client-id", "web")
        .header("grpc-timeout", "2S")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .body(())
        .unwrap();
    let peer: std::net::SocketAddr = "10.1.2.3:4567".parse().unwrap();
    request.extensions_mut().insert(peer);
    service.oneshot(request).await.unwrap();
    info!("outside");

    let span = r#" INFO request{request_id="id-1" client_id="web" peer=10.1.2.3:4567 method="POST" path="/proto.KV/Get" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 timeout=2s}: "#;
    let expected = [
        format!("{span}called"),
        format!("{span}polled"),
        format!("{span}dropped"),
        " INFO outside".to_owned(),
    ];
    assert_eq!(log.lines(), expected);
}

#[tokio::test]
async fn what_is_dropped_with_a_cancelled_request_is_logged_in_its_span() {
    let log = Log::default();
    let _guard = log.record(Level::INFO);
    let service = service_fn(|_: Request<()>| {
        let dropped = Dropped;
        async move {
            let _dropped = dropped;
            std::future::pending::<Result<(), Infallible>>().await
        }
    });
    let request = Request::builder()
        .header("x-request-id", "a")
        .body(())
        .unwrap();
    let mut call =
        tokio_test::task::spawn(ServerContextLayer::new().layer(service).oneshot(request));
    tokio_test::assert_pending!(call.poll());
    drop(call);
    let expected = r#" INFO request{request_id="a" method="GET" path="/"}: dropped"#;
    assert_eq!(log.lines(), [expected]);
}

#[tokio::test]
async fn a_garbage_id_does_not_get_into_the_log() {
    let log = Log::default();
    let _guard = log.record(Level::TRACE);
    let service = service_fn(|_: Request<()>| async {
        info!("called");
        Ok::<_, Infallible>(())
    });
    let request = Request::builder()
        .header("x-request-id", "stolen level=ERROR")
        .header("x-client-id", "stolen\ttoo")
        .body(())
        .unwrap();
    ServerContextLayer::new()
        .layer(service)
        .oneshot(request)
        .await
        .unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("stolen"), "{lines:?}");
}

struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        info!("dropped");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    #[must_use]
    fn record(&self, level: Level) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_max_level(level)
            .with_writer(move || writer.clone());
        set_default(subscriber.finish())
    }

    fn lines(&self) -> Vec<String> {
        let written = mem::take(&mut *self.0.lock().unwrap());
        let written = String::from_utf8(written).unwrap();
        written.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
