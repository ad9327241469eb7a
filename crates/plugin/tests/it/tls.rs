//! AutoMTLS against servers that are not the plugin whose certificate stands in the line.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use mainstay_plugin::{ConnectError, ConnectFailure};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::shell::{SOON, launcher};

/// A key, and the certificate that is shown with it: its own or another's.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn make() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (
        certificate,
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

/// A host that was told `announced` meets a server with this `certificate` and `key`, which asks
/// for a client certificate of `ca`'s, if that is given.
async fn meet(
    announced: &CertificateDer<'_>,
    certificate: &CertificateDer<'static>,
    key: &PrivateKeyDer<'_>,
    ca: Option<CertificateDer<'static>>,
) -> ConnectError {
    let key = aws_lc_rs::sign::any_supported_type(key).unwrap();
    let shown = CertifiedKey::new(vec![certificate.clone()], key);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match ca {
        None => config.with_no_client_auth(),
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(ca).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = config.with_cert_resolver(Arc::new(Shown(Arc::new(shown))));
    config.alpn_protocols = vec![b"h2".to_vec()];

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let line = format!(
        "1|1|unix|{}|grpc|{}",
        path.display(),
        BASE64_STANDARD_NO_PAD.encode(announced)
    );
    let launcher = launcher(&format!("echo '{line}'; sleep 1000"));
    let plugin = launcher.with_auto_mtls().launch().await.unwrap();
    let serving = async {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let socket = listener.accept().await.unwrap().0;
            // Only the host's view counts here.
            let _ = acceptor.accept(socket).await;
        }
    };
    tokio::select! {
        connected = timeout(SOON, plugin.connect()) => connected.unwrap().unwrap_err(),
        () = serving => unreachable!(),
    }
}

#[tokio::test]
async fn a_server_with_a_strangers_certificate_is_refused() {
    let (announced, _) = make();
    let (certificate, key) = make();
    let error = meet(&announced, &certificate, &key, None).await;
    assert!(matches!(error.failure(), ConnectFailure::Tls(_)), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_server_with_the_right_certificate_and_the_wrong_key_is_refused() {
    let (announced, _) = make();
    let (_, key) = make();
    let error = meet(&announced, &announced, &key, None).await;
    assert!(matches!(error.failure(), ConnectFailure::Tls(_)), "{error}");
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_hosts_certificate_is_told_as_such() {
    let (announced, key) = make();
    let (strangers, _) = make();
    let error = meet(&announced, &announced, &key, Some(strangers)).await;
    // In TLS 1.3 the refusal comes after the host's part of the handshake.
    assert!(
        matches!(error.failure(), ConnectFailure::Grpc(_)),
        "{error}"
    );
    assert!(
        error.to_string().contains("received fatal alert"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    let (announced, _) = make();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let certificate = BASE64_STANDARD_NO_PAD.encode(&announced);
    let script = format!(
        "echo '1|1|unix|{}|grpc|{certificate}'; sleep 1000",
        path.display()
    );
    let launcher = launcher(&script).with_auto_mtls();
    let plugin = launcher
        .with_connect_within(Duration::from_secs(5))
        .launch()
        .await
        .unwrap();
    let serving = async {
        loop {
            let stream = listener.accept().await.unwrap().0;
            let io = hyper_util::rt::TokioIo::new(stream);
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            let http2 = hyper::server::conn::http2::Builder::new(executor);
            let _ = http2.serve_connection(io, service).await;
        }
    };
    let error = tokio::select! {
        connected = timeout(SOON, plugin.connect()) => connected.unwrap().unwrap_err(),
        () = serving => unreachable!(),
    };
    assert!(matches!(error.failure(), ConnectFailure::Tls(_)), "{error}");
}

#[tokio::test]
async fn the_connector_gives_up_a_handshake_that_hangs() {
    let (announced, _) = make();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _never_accepts = UnixListener::bind(&path).unwrap();
    let certificate = BASE64_STANDARD_NO_PAD.encode(&announced);
    let line = format!("1|1|unix|{}|grpc|{certificate}", path.display());
    let within = Duration::from_millis(300);
    let launcher = launcher(&format!("echo '{line}'; sleep 1000")).with_auto_mtls();
    let plugin = launcher.with_connect_within(within).launch().await.unwrap();
    let connecting = plugin.connector().clone().oneshot(());
    let error = timeout(SOON, connecting).await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), ConnectFailure::Timeout(found) if *found == within));
}
