//! Connections that hyper speaks HTTP/1.1 on, to a server in this process.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mainstay_conn_pool::{Backoff, Connection, Limits, Pool, PoolLayer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tower::{Layer, Service, ServiceExt, service_fn as tower_fn};

use crate::support::{ms, n};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

struct Http1(SendRequest<Full<Bytes>>);

impl Connection for Http1 {
    fn is_broken(&self) -> bool {
        self.0.is_closed()
    }
}

impl Service<Request<Full<Bytes>>> for Http1 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A server that can be killed and started again at the same address.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    live: Arc<AtomicU32>,
    peak: Arc<AtomicU32>,
}

struct Live(Arc<AtomicU32>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (live, peak) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let counts = (live.clone(), peak.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let now = counts.0.fetch_add(1, Ordering::Relaxed) + 1;
                counts.1.fetch_max(now, Ordering::Relaxed);
                let live = Live(counts.0.clone());
                connections.spawn(async move {
                    let _live = live;
                    let echo = service_fn(|request: Request<Incoming>| async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        Ok::<_, Infallible>(Response::new(Full::new(body)))
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), echo);
                    let _ = connection.await;
                });
            }
        });
        Self {
            address,
            task,
            live,
            peak,
        }
    }

    async fn kill(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

fn connect(address: SocketAddr, max_size: u32) -> Pool<Http1> {
    let connector = tower_fn(move |()| async move {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok::<_, BoxError>(Http1(sender))
    });
    PoolLayer::new(Limits::new(n(max_size)))
        .with_backoff(|| Backoff::new(ms(5), ms(20)).unwrap())
        .layer(connector)
}

fn request() -> Request<Full<Bytes>> {
    Request::new(Full::new(Bytes::from_static(b"hello")))
}

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Calls from many tasks while the server is killed and started again.
async fn survives<S, B>(pool: Pool<Http1>, dispatch: S, mut server: Server)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error = hyper::Error> + Send,
{
    let answers = Arc::<AtomicU32>::default();
    let failures = Arc::<AtomicU32>::default();
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (dispatch, answers) = (dispatch.clone(), answers.clone());
            let failures = failures.clone();
            tokio::spawn(async move {
                loop {
                    match dispatch.clone().oneshot(request()).await {
                        Ok(response) => {
                            if let Ok(body) = response.into_body().collect().await {
                                assert_eq!(body.to_bytes(), "hello");
                                answers.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        Err(_) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                    }
                }
            })
        })
        .collect();
    let more = |than: u32| {
        let answers = answers.clone();
        async move {
            while answers.load(Ordering::Relaxed) < than {
                tokio::task::yield_now().await;
            }
        }
    };
    for _ in 0..3 {
        more(answers.load(Ordering::Relaxed) + 200).await;
        let before = failures.load(Ordering::Relaxed);
        let address = server.kill().await;
        while failures.load(Ordering::Relaxed) < before + 20 {
            tokio::task::yield_now().await;
        }
        server = Server::start(address).await;
    }
    more(answers.load(Ordering::Relaxed) + 200).await;
    for caller in callers {
        caller.abort();
        let _ = caller.await;
    }
    assert!(server.peak.load(Ordering::Relaxed) <= 4);
    pool.drain(Duration::from_secs(5)).await.unwrap();
    while server.live.load(Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pool_of_http1_survives_its_server() {
    let server = Server::start(ANYWHERE).await;
    let pool = connect(server.address, 4);
    let work = survives(pool.clone(), pool.dispatch(), server);
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .unwrap();
}

#[cfg(feature = "http-body")]
#[tokio::test]
async fn a_pool_of_http1_that_lends_until_the_body_is_read_survives_its_server() {
    let server = Server::start(ANYWHERE).await;
    let pool = connect(server.address, 4);
    let work = survives(pool.clone(), pool.dispatch().until_read(), server);
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .unwrap();
}

#[cfg(feature = "http-body")]
#[tokio::test]
async fn a_connection_is_given_back_when_the_body_is_read() {
    let server = Server::start(ANYWHERE).await;
    let pool = connect(server.address, 1);
    let dispatch = pool.dispatch().until_read();
    let response = dispatch.clone().oneshot(request()).await.unwrap();
    assert_eq!(pool.snapshot().sizes.lent, 1);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    assert_eq!(pool.snapshot().sizes.idle, 1);
    let response = dispatch.clone().oneshot(request()).await.unwrap();
    drop(response);
    assert_eq!(
        pool.snapshot().sizes.idle,
        0,
        "its body is still on the wire"
    );
    dispatch.oneshot(request()).await.unwrap();
    assert_eq!(pool.snapshot().created, 2);
}

#[cfg(feature = "http-body")]
#[tokio::test]
async fn a_response_without_a_body_is_read_at_once() {
    let server = Server::start(ANYWHERE).await;
    let pool = connect(server.address, 1);
    let empty = Request::new(Full::new(Bytes::new()));
    let response = pool.dispatch().until_read().oneshot(empty).await.unwrap();
    assert_eq!(pool.snapshot().sizes.idle, 1);
    drop(response);
    assert_eq!(pool.snapshot().sizes.idle, 1);
}
