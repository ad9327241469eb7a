use rcgen::{BasicConstraints, PKCS_ECDSA_P521_SHA512, date_time_ymd};

use super::*;

/// An identity that differs from the usual one.
pub(crate) fn identity(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = Identity::params().unwrap();
    change(&mut params);
    Identity::signed_by(&key, &params).unwrap()
}

pub(crate) fn expired() -> Identity {
    identity(|params| params.not_after = date_time_ymd(2020, 1, 1))
}

pub(crate) fn not_yet_valid() -> Identity {
    identity(|params| params.not_before = date_time_ymd(4000, 1, 1))
}

pub(crate) fn named_otherwise() -> Identity {
    identity(|params| {
        let other = CertificateParams::new(["elsewhere".to_owned()]).unwrap();
        params.subject_alt_names = other.subject_alt_names;
    })
}

pub(crate) fn for_nothing_but(usage: ExtendedKeyUsagePurpose) -> Identity {
    identity(|params| params.extended_key_usages = vec![usage])
}

/// As Go's AutoMTLS makes them: a CA's certificate, on P-521.
pub(crate) fn as_upstream() -> Identity {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let mut params = Identity::params().unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyAgreement,
        KeyUsagePurpose::KeyCertSign,
    ];
    Identity::signed_by(&key, &params).unwrap()
}

pub(crate) fn pinned(identity: &Identity) -> Pinned {
    Pinned::from_der(identity.certificate.clone()).unwrap()
}

impl Identity {}

fn check(identity: &Identity, role: Role) -> Result<(), CertificateError> {
    pinned(identity).check(&identity.certificate, role, UnixTime::now())
}

#[test]
fn our_own_certificate_and_upstreams_are_good_for_both_roles() {
    for identity in [Identity::generate().unwrap(), as_upstream()] {
        for role in [Role::Server, Role::Client] {
            assert_eq!(check(&identity, role), Ok(()));
        }
    }
}

#[test]
fn a_certificate_is_refused_for_the_reason_that_is_wrong_with_it() {
    let cases = [
        (expired(), "certificate expired"),
        (not_yet_valid(), "certificate not valid yet"),
    ];
    for (identity, reason) in cases {
        for role in [Role::Server, Role::Client] {
            let error = check(&identity, role).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
    let elsewhere = check(&named_otherwise(), Role::Server).unwrap_err();
    assert!(elsewhere.to_string().contains("only valid for elsewhere"));
    let server = for_nothing_but(ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(check(&server, Role::Server), Ok(()));
    let refused = Err(CertificateError::InvalidPurpose);
    assert_eq!(check(&server, Role::Client), refused);
    let client = for_nothing_but(ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(check(&client, Role::Server), refused);
}

/// pyvider's hosts show one for no name at all.
#[test]
fn a_client_may_have_any_name() {
    assert_eq!(check(&named_otherwise(), Role::Client), Ok(()));
}

#[test]
fn another_certificate_of_the_same_make_is_refused() {
    let (ours, theirs) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let refused = pinned(&ours).check(&theirs.certificate, Role::Server, UnixTime::now());
    assert_eq!(refused, Err(CertificateError::UnknownIssuer));
}

#[test]
fn what_is_no_certificate_is_refused_with_its_form_named() {
    let error = Pinned::from_pem(b"hello").unwrap_err().to_string();
    assert!(error.contains("PEM"), "{error}");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = Pinned::from_pem(key.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("PEM"), "{error}");
    let error = Pinned::from_der(vec![0x30, 0x03, 1, 2, 3].into()).unwrap_err();
    assert!(error.to_string().contains("DER"), "{error}");
    let mut longer = Identity::generate().unwrap().certificate.to_vec();
    longer.push(0);
    let error = Pinned::from_der(longer.into()).unwrap_err();
    assert!(error.to_string().contains("1 bytes too many"), "{error}");
}

#[test]
fn a_cut_or_damaged_certificate_never_panics() {
    let der = Identity::generate().unwrap().certificate.to_vec();
    for end in 0..der.len() {
        assert!(Pinned::from_der(der[..end].to_vec().into()).is_err());
    }
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 0xff;
        let _ = Pinned::from_der(damaged.into());
    }
}
