//! Servers that see what comes to them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay::conn_pool::KeyedLimits;
use mainstay::http::{Http, Resolve, Resolving};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    scheme: &'static str,
    _task: JoinSet<()>,
}

/// What a server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    accepted: AtomicU32,
    live: AtomicU32,
    peak: AtomicU32,
    /// After so many milliseconds a connection of HTTP/2 takes leave; never if that is zero.
    leave_after: AtomicU32,
    /// Methods and paths, in the order in which they came.
    requests: Mutex<Vec<String>>,
}

struct Live(Arc<Seen>);

/// The host of those over TLS.
pub(crate) const HOST: &str = "shop.test";

impl Server {
    /// Each connection is given to `serve`, with its number.
    pub(crate) async fn raw<F>(
        serve: impl Fn(TcpStream, u32, Arc<Seen>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let mut task = JoinSet::new();
        task.spawn({
            let seen = seen.clone();
            async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let live = seen.enter();
                    let serving = serve(stream, seen.accepted() - 1, seen.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(live);
                    });
                }
            }
        });
        Self {
            address,
            seen,
            scheme: "http",
            _task: task,
        }
    }

    /// HTTP/1.1.
    pub(crate) async fn http<F>(
        handle: impl Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Self::raw(move |stream, _, seen| serve(stream, false, seen, handle.clone())).await
    }

    /// Whatever is agreed on of these; the other is the settings of clients that trust it.
    pub(crate) async fn https<F>(
        alpn: &[&str],
        handle: impl Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    ) -> (Self, Http)
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut server = Self::raw(move |stream, _, seen| {
            let (acceptor, handle) = (acceptor.clone(), handle.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, is_http2, seen, handle).await;
            }
        })
        .await;
        server.scheme = "https";
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (
            server,
            Http::new().with_tls(tls).with_resolver(Loopback::default()),
        )
    }

    pub(crate) fn url(&self, path: &str) -> String {
        match self.scheme {
            "https" => format!("https://{HOST}:{}{path}", self.address.port()),
            _ => format!("http://{}{path}", self.address),
        }
    }
}

impl Seen {
    fn enter(self: &Arc<Self>) -> Live {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(live, Ordering::SeqCst);
        Live(self.clone())
    }

    pub(crate) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::SeqCst)
    }

    /// The most connections that there ever were.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Ordering::SeqCst)
    }

    pub(crate) fn leave_after(&self, time: Duration) {
        self.leave_after
            .store(time.as_millis() as u32, Ordering::SeqCst);
    }

    pub(crate) fn saw(&self, request: String) {
        self.requests.lock().unwrap().push(request);
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve<T, F, H>(stream: T, is_http2: bool, seen: Arc<Seen>, handle: H)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let leave_after = seen.leave_after.load(Ordering::SeqCst);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let handle = handle.clone();
        let (head, body) = request.into_parts();
        seen.saw(format!("{} {}", head.method, head.uri.path()));
        async move {
            let body = body.collect().await.map(|it| it.to_bytes());
            let request = Request::from_parts(head, body.unwrap_or_default());
            Ok::<_, Infallible>(handle(request).await)
        }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let server = http2::Builder::new(TokioExecutor::new());
        let mut serving = std::pin::pin!(server.serve_connection(stream, service));
        if leave_after > 0
            && let Err(_) = tokio::time::timeout(ms(leave_after.into()), serving.as_mut()).await
        {
            serving.as_mut().graceful_shutdown();
        }
        drop(serving.await);
    } else {
        drop(
            http1::Builder::new()
                .serve_connection(stream, service)
                .await,
        );
    }
}

/// Waits for what is seen elsewhere.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            // A real sleep: a real server sees it, at its pace.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    waited.expect("it never came");
}

/// The head of the next request of HTTP/1.1, and whatever body it says that it has. None at the end.
pub(crate) async fn read(stream: &mut TcpStream, seen: &Seen) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    let line = head.lines().next().unwrap();
    seen.saw(line.trim_end_matches(" HTTP/1.1").to_owned());
    Some(head)
}

/// Every name is this machine, which is looked up as often as it counts; or there is an outage.
#[derive(Clone, Default)]
pub(crate) struct Loopback(pub(crate) Arc<AtomicU32>, pub(crate) Arc<AtomicBool>);

impl Resolve for Loopback {
    fn resolve(&self, _: String) -> Resolving {
        self.0.fetch_add(1, Ordering::SeqCst);
        let is_out = self.1.load(Ordering::SeqCst);
        Box::pin(async move {
            match is_out {
                true => Err(std::io::Error::other("no answer")),
                false => Ok(vec!["127.0.0.1".parse().unwrap()]),
            }
        })
    }
}

pub(crate) fn limits(total: u32, per_host: u32) -> KeyedLimits {
    let n = |number| NonZeroU32::new(number).unwrap();
    KeyedLimits::new(n(total), n(per_host)).unwrap()
}

pub(crate) fn text(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(body.into()))
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
