use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;

use crate::certificate::{Identity, Pinned, Role};

/// gRPC over TLS is agreed on by ALPN; as Go, we refuse a connection without it.
const ALPN: &[u8] = b"h2";

/// Whether the peer of a finished handshake is going to speak HTTP/2.
pub(crate) fn agreed_on_http2(agreed: Option<&[u8]>) -> io::Result<()> {
    if agreed == Some(ALPN) {
        return Ok(());
    }
    Err(io::Error::other(
        "the peer did not agree to speak HTTP/2 (ALPN h2)",
    ))
}

/// The plugin's side: shows `own` and lets in nobody but the holder of `host`'s key.
pub(crate) fn server_config(own: Identity, host: Pinned) -> Result<ServerConfig, Error> {
    let pin = Pin::new(host);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(pin))
        .with_single_cert(vec![own.certificate], own.key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would not look at the certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The host's side: shows `own` and talks to nobody but the holder of `plugin`'s key.
pub(crate) fn client_config(own: Identity, plugin: Pinned) -> Result<ClientConfig, Error> {
    let pin = Pin::new(plugin);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_client_auth_cert(vec![own.certificate], own.key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What one side shows and expects, whichever of the two connects.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connecting: Arc<ClientConfig>,
    pub(crate) accepting: TlsAcceptor,
}

impl Tls {
    /// Shows `own` and talks to nobody but the holder of `peer`'s key.
    pub(crate) fn new(own: Identity, peer: Pinned) -> Result<Self, Error> {
        let accepting = server_config(own.clone(), peer.clone())?;
        Ok(Self {
            connecting: Arc::new(client_config(own, peer)?),
            accepting: TlsAcceptor::from(Arc::new(accepting)),
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Accepts one certificate and the signatures of its key.
///
/// webpki cannot do this: upstream's certificates are those of a CA, which it refuses as leaves.
/// The signatures are what proves that the peer owns the certificate and did not just see it.
#[derive(Debug)]
struct Pin {
    certificate: Pinned,
    provider: Arc<CryptoProvider>,
}

impl Pin {
    fn new(certificate: Pinned) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self {
            certificate,
            provider,
        }
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.certificate.check(end_entity, Role::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.certificate.check(end_entity, Role::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

#[cfg(test)]
mod tests;
