use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512, SignatureAlgorithm,
    date_time_ymd,
};
use rustix::process::Signal;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::by_hand::{ByHand, kv_plugin};
use crate::grpc::{channel_over, health};
use crate::wait::{SOON, soon};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[tokio::test]
async fn a_host_as_upstream_makes_it_gets_through() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P521_SHA512] {
        let dir = tempfile::tempdir().unwrap();
        let host = Identity::of_upstream(algorithm);
        let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
        for version in VERSIONS {
            serves(&plugin, &host, version).await;
        }
    }
}

#[tokio::test]
async fn the_certificate_in_the_line_is_bare_der_in_base64_without_padding() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P256_SHA256);
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    assert_eq!(plugin.fields().len(), 6, "{}", plugin.line());
    let field = plugin.fields()[5];
    // Hosts take what is shorter for something else.
    assert!(field.len() > 50, "{field}");
    // With bits or padding at its end it would not decode.
    let der = plugin.certificate();
    let (tag, length) = (der[0], usize::from(u16::from_be_bytes([der[2], der[3]])));
    assert_eq!((tag, length), (0x30, der.len() - 4));
}

#[tokio::test]
async fn each_launch_has_a_certificate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P256_SHA256);
    let first = ByHand::start(plugin_of(&host, dir.path())).await;
    let second = ByHand::start(plugin_of(&host, dir.path())).await;
    assert_ne!(first.certificate(), second.certificate());
    // So a host that expects the first does not talk to the second.
    let config = config(&first, Some(host.resolver()), &TLS13);
    let error = soon("TLS", connect(&second, config)).await.unwrap_err();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_is_not_the_host_is_refused_and_the_server_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P521_SHA512);
    let stranger = Identity::of_upstream(&PKCS_ECDSA_P521_SHA512);
    let wrong_key = Identity {
        certificate: host.certificate.clone(),
        ..Identity::of_upstream(&PKCS_ECDSA_P521_SHA512)
    };
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    for version in VERSIONS {
        for (who, shown, alert) in [
            ("no certificate", None, "CertificateRequired"),
            (
                "a stranger's certificate",
                Some(stranger.resolver()),
                "UnknownCA",
            ),
            ("the wrong key", Some(wrong_key.resolver()), "DecryptError"),
        ] {
            let refused = refusal(&plugin, shown.clone(), version).await;
            // TLS 1.2 has no alert of its own for a certificate that is missing.
            let expected = [alert, "HandshakeFailure"];
            let as_expected = expected.iter().any(|alert| refused.contains(alert));
            assert!(as_expected, "{version:?}, {who}: {refused}");
            // Nor does a call get through.
            let config = config(&plugin, shown, version);
            let called = soon("a refusal", health_of(&plugin, config)).await;
            assert!(called.is_err(), "{version:?}, {who}: {called:?}");
            serves(&plugin, &host, version).await;
        }
    }
}

#[tokio::test]
async fn a_host_whose_certificate_is_not_good_for_it_is_refused_and_stderr_says_so() {
    for (alert, change) in [
        (
            "CertificateExpired",
            (|params| params.not_after = date_time_ymd(2020, 1, 1)) as Change,
        ),
        // What is not valid yet has no alert of its own.
        ("CertificateExpired", |params| {
            params.not_before = date_time_ymd(4000, 1, 1)
        }),
        ("UnsupportedCertificate", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let host = Identity::with(&PKCS_ECDSA_P256_SHA256, change);
        let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
        for version in VERSIONS {
            let refused = refusal(&plugin, Some(host.resolver()), version).await;
            assert!(refused.contains(alert), "{version:?}, {alert}: {refused}");
        }
        plugin.signal(Signal::TERM);
        let output = plugin.ended(SOON).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with("the host will be refused: "), "{stderr}");
    }
}

/// It is told by its certificate; hosts in Python show one without.
#[tokio::test]
async fn a_host_needs_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::with(&PKCS_ECDSA_P256_SHA256, |params| {
        params.subject_alt_names.clear();
    });
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    for version in VERSIONS {
        serves(&plugin, &host, version).await;
    }
    plugin.signal(Signal::TERM);
    assert!(plugin.ended(SOON).await.status.success());
}

#[tokio::test]
async fn plain_text_is_refused_and_the_server_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P256_SHA256);
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    let refused = soon("a refusal", async {
        match channel_over(plugin.connect().await).await {
            Ok(channel) => health(channel, "plugin").await.is_err(),
            Err(_) => true,
        }
    })
    .await;
    assert!(refused);
    serves(&plugin, &host, &TLS13).await;
}

#[tokio::test]
async fn clients_that_say_nothing_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P256_SHA256);
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(plugin.connect().await);
        drop(plugin.connect().await);
    }
    serves(&plugin, &host, &TLS13).await;
}

#[tokio::test]
async fn a_client_that_does_not_agree_on_http2_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let host = Identity::of_upstream(&PKCS_ECDSA_P256_SHA256);
    let plugin = ByHand::start(plugin_of(&host, dir.path())).await;
    let mut http1 = config(&plugin, Some(host.resolver()), &TLS13);
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = soon("TLS", connect(&plugin, http1)).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");

    let mut silent = config(&plugin, Some(host.resolver()), &TLS13);
    silent.alpn_protocols.clear();
    let called = soon("a refusal", health_of(&plugin, silent)).await;
    assert!(called.is_err(), "{called:?}");
    serves(&plugin, &host, &TLS13).await;
}

type Change = fn(&mut CertificateParams);

/// A host's certificate and key.
struct Identity {
    pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn of_upstream(algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with(algorithm, |_| {})
    }

    /// As Go's hosts make it, but for this change.
    fn with(algorithm: &'static SignatureAlgorithm, change: Change) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "HashiCorp");
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// Shows the certificate and signs with the key, whether they belong together or not.
    fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        let key = provider()
            .key_provider
            .load_private_key(self.key.clone_key())
            .unwrap();
        let certified = CertifiedKey::new(vec![self.certificate.clone()], key);
        Arc::new(SingleCertAndKey::from(certified))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn plugin_of(host: &Identity, dir: &Path) -> Command {
    let mut command = kv_plugin(dir);
    command.env("PLUGIN_CLIENT_CERT", &host.pem);
    command
}

/// Trusts the certificate in the plugin's line and no other.
fn config(
    plugin: &ByHand,
    shown: Option<Arc<dyn ResolvesClientCert>>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(plugin.certificate().into()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some(resolver) => config.with_client_cert_resolver(resolver),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn connect(plugin: &ByHand, config: ClientConfig) -> io::Result<TlsStream<UnixStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let socket = plugin.connect().await;
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn health_of(plugin: &ByHand, config: ClientConfig) -> Result<ServingStatus, BoxError> {
    let channel = channel_over(connect(plugin, config).await?).await?;
    Ok(health(channel, "plugin").await?)
}

async fn serves(plugin: &ByHand, host: &Identity, version: &'static SupportedProtocolVersion) {
    let config = config(plugin, Some(host.resolver()), version);
    let status = soon("an answer", health_of(plugin, config)).await;
    assert_eq!(status.unwrap(), ServingStatus::Serving);
}

/// How the plugin refuses a client; in TLS 1.3 that shows only when the client reads.
async fn refusal(
    plugin: &ByHand,
    shown: Option<Arc<dyn ResolvesClientCert>>,
    version: &'static SupportedProtocolVersion,
) -> String {
    let config = config(plugin, shown, version);
    let refused = soon("a refusal", async {
        let mut stream = connect(plugin, config).await?;
        stream.read_u8().await
    });
    refused.await.unwrap_err().to_string()
}
