use std::fmt;
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// The name that both sides of the protocol stand under; there is no other host on a socket.
pub(crate) const NAME: &str = "localhost";

/// A throw-away certificate with its key, made for one connection between a host and a plugin.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    pem: String,
}

/// The one certificate that the other side may show, known before it connects.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    der: CertificateDer<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
    names: Vec<String>,
    server: bool,
    client: bool,
}

/// What the owner of a certificate is in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What was sent as a certificate is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidCertificate(String);

impl Identity {
    /// Upstream makes P-521 keys, which cost ten times as much and shut out whatever is built on
    /// ring or BoringSSL; it accepts P-256. A leaf, not a CA: some verifiers take a CA's
    /// certificate for nobody's own.
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::signed_by(&key, &Self::params()?)
    }

    fn signed_by(key: &KeyPair, params: &CertificateParams) -> Result<Self, rcgen::Error> {
        let certificate = params.self_signed(key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// Valid at all times, by rcgen's defaults: the key does not outlive the process, and a clock
    /// that is wrong should not part a host from its plugin.
    fn params() -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new([NAME.to_owned()])?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.distinguished_name.push(DnType::CommonName, NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Ok(params)
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            pem: self.pem.clone(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Pinned {
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, InvalidCertificate> {
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|error| InvalidCertificate(format!("not a certificate in PEM: {error}")))?;
        Self::from_der(der)
    }

    pub(crate) fn from_der(der: CertificateDer<'static>) -> Result<Self, InvalidCertificate> {
        let invalid = |error: &dyn fmt::Display| {
            InvalidCertificate(format!("not an X.509 certificate in DER: {error}"))
        };
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|error| invalid(&error))?;
        if !rest.is_empty() {
            return Err(invalid(&format_args!("{} bytes too many", rest.len())));
        }
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| invalid(&error))?;
        let usage = parsed
            .extended_key_usage()
            .map_err(|error| invalid(&error))?;
        let validity = parsed.validity();
        let allows =
            |server_or_client: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
                usage
                    .as_ref()
                    .is_none_or(|usage| usage.value.any || server_or_client(usage.value))
            };
        let dns_name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        let names = names.map(|names| names.value.general_names.iter().filter_map(dns_name));
        Ok(Self {
            not_before: unix_time(validity.not_before),
            not_after: unix_time(validity.not_after),
            names: names.into_iter().flatten().collect(),
            server: allows(|usage| usage.server_auth),
            client: allows(|usage| usage.client_auth),
            der,
        })
    }

    /// Whether `shown` is this certificate, and good for its `role` at the time `now`.
    pub(crate) fn check(
        &self,
        shown: &CertificateDer<'_>,
        role: Role,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        if *shown != self.der {
            return Err(CertificateError::UnknownIssuer);
        }
        self.check_use(role, now)
    }

    /// Whether a certificate is good for its `role` at the time `now`. Only servers have to have a name: it
    /// is them that one looks for, as upstream has it too.
    pub(crate) fn check_use(&self, role: Role, now: UnixTime) -> Result<(), CertificateError> {
        if now < self.not_before {
            return Err(CertificateError::NotValidYetContext {
                time: now,
                not_before: self.not_before,
            });
        }
        if now > self.not_after {
            return Err(CertificateError::ExpiredContext {
                time: now,
                not_after: self.not_after,
            });
        }
        let is_named = |name: &String| name.eq_ignore_ascii_case(NAME);
        if matches!(role, Role::Server) && !self.names.iter().any(is_named) {
            return Err(match ServerName::try_from(NAME) {
                Ok(expected) => CertificateError::NotValidForNameContext {
                    expected,
                    presented: self.names.clone(),
                },
                Err(_) => CertificateError::NotValidForName,
            });
        }
        let usable = match role {
            Role::Server => self.server,
            Role::Client => self.client,
        };
        if usable {
            Ok(())
        } else {
            Err(CertificateError::InvalidPurpose)
        }
    }
}

impl fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidCertificate {}

/// A certificate may be older than UNIX time; to be valid since its beginning is the same.
fn unix_time(time: ASN1Time) -> UnixTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[cfg(test)]
pub(crate) mod tests;
