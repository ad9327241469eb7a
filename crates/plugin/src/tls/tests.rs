use std::io;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::certificate::tests::{
    as_upstream, expired, for_nothing_but, named_otherwise, not_yet_valid, pinned,
};

fn generate() -> Identity {
    Identity::generate().unwrap()
}

/// Both sides as far as they get: a byte from the server to the client and one back.
async fn meet(server: ServerConfig, client: ClientConfig) -> (io::Result<()>, io::Result<()>) {
    let (here, there) = duplex(64 * 1024);
    let serving = async {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(here).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
        stream.write_all(b"s").await?;
        stream.read_u8().await?;
        Ok(())
    };
    let calling = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client))
            .connect(name, there)
            .await?;
        stream.read_u8().await?;
        stream.write_all(b"c").await?;
        stream.shutdown().await
    };
    tokio::join!(serving, calling)
}

/// Shows a certificate with the key of another.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl Impostor {
    fn new(shown: &Identity) -> Self {
        let key = aws_lc_rs::sign::any_supported_type(&generate().key).unwrap();
        Self(Arc::new(CertifiedKey::new(
            vec![shown.certificate.clone()],
            key,
        )))
    }
}

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server that knows the certificate of `client`, and a client that has `shown` in its place.
async fn server_meets(known: &Identity, shown: Identity) -> io::Result<()> {
    let own = generate();
    let pin = pinned(&own);
    let server = server_config(own, pinned(known)).unwrap();
    meet(server, client_config(shown, pin).unwrap()).await.0
}

async fn client_meets(known: &Identity, shown: Identity) -> io::Result<()> {
    let own = generate();
    let pin = pinned(&own);
    let client = client_config(own, pinned(known)).unwrap();
    meet(server_config(shown, pin).unwrap(), client).await.1
}

fn assert_refused(result: io::Result<()>, reason: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(reason), "{reason}: {error}");
}

#[tokio::test]
async fn the_two_that_know_each_other_meet() {
    for (host, plugin) in [
        (generate(), generate()),
        (as_upstream(), generate()),
        (generate(), as_upstream()),
    ] {
        let server = server_config(plugin.clone(), pinned(&host)).unwrap();
        let client = client_config(host, pinned(&plugin)).unwrap();
        let (served, called) = meet(server, client).await;
        served.unwrap();
        called.unwrap();
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let own = generate();
    let pin = Pin::new(pinned(&own));
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let server = server_config(own, pinned(&generate())).unwrap();
    assert_refused(meet(server, client).await.0, "sent no certificates");
}

#[tokio::test]
async fn a_stranger_is_refused_on_both_sides() {
    assert_refused(server_meets(&generate(), generate()).await, "UnknownIssuer");
    assert_refused(client_meets(&generate(), generate()).await, "UnknownIssuer");
}

#[tokio::test]
async fn the_right_certificate_with_the_wrong_key_is_refused_on_both_sides() {
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let (host, plugin) = (generate(), generate());
        let provider = || Arc::new(aws_lc_rs::default_provider());

        let mut impostor = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pin::new(pinned(&plugin))))
            .with_client_cert_resolver(Arc::new(Impostor::new(&host)));
        impostor.alpn_protocols = vec![ALPN.to_vec()];
        let server = server_config(plugin.clone(), pinned(&host)).unwrap();
        assert_refused(meet(server, impostor).await.0, "BadSignature");

        let mut impostor = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(Arc::new(Pin::new(pinned(&host))))
            .with_cert_resolver(Arc::new(Impostor::new(&plugin)));
        impostor.alpn_protocols = vec![ALPN.to_vec()];
        let client = client_config(host, pinned(&plugin)).unwrap();
        assert_refused(meet(impostor, client).await.1, "BadSignature");
    }
}

#[tokio::test]
async fn a_known_certificate_that_is_no_good_is_refused_on_both_sides() {
    let cases = [
        (expired(), "certificate expired"),
        (not_yet_valid(), "not valid yet"),
    ];
    for (identity, reason) in cases {
        assert_refused(server_meets(&identity, identity.clone()).await, reason);
        assert_refused(client_meets(&identity, identity.clone()).await, reason);
    }
    let elsewhere = named_otherwise();
    assert_refused(
        client_meets(&elsewhere, elsewhere.clone()).await,
        "elsewhere",
    );
    let server_only = for_nothing_but(ExtendedKeyUsagePurpose::ServerAuth);
    assert_refused(
        server_meets(&server_only, server_only.clone()).await,
        "InvalidPurpose",
    );
    let client_only = for_nothing_but(ExtendedKeyUsagePurpose::ClientAuth);
    assert_refused(
        client_meets(&client_only, client_only.clone()).await,
        "InvalidPurpose",
    );
}
