use super::*;
use crate::certificate::tests::{expired, named_otherwise};
use crate::line::Address;

fn failure(line: &str, auto_mtls: bool) -> String {
    let identity = auto_mtls.then(|| Identity::generate().unwrap());
    understand(line, &BTreeSet::from([1, 3]), identity)
        .unwrap_err()
        .to_string()
}

fn line_with(certificate: &[u8]) -> String {
    let address = Address::Unix("/s".into());
    HandshakeLine::new(1, address, Some(certificate.to_vec()))
        .unwrap()
        .to_string()
}

#[test]
fn a_line_that_does_not_fit_the_host_is_refused_with_the_reason() {
    assert_eq!(
        failure("1|2|unix|/s|grpc|", false),
        "it speaks app protocol version 2, and this host {1, 3}"
    );
    assert!(failure("1|1|unix|/s|grpc|", true).contains("sent no certificate"));
    let certificate = Identity::generate().unwrap().certificate;
    assert!(failure(&line_with(&certificate), false).contains("did not ask for TLS"));
    assert!(failure(&line_with(&[0; 60]), true).contains("DER"));
    let expired = failure(&line_with(&expired().certificate), true);
    assert!(expired.contains("xpired"), "{expired}");
    let elsewhere = failure(&line_with(&named_otherwise().certificate), true);
    assert!(elsewhere.contains("localhost"), "{elsewhere}");
    assert!(failure("hello", true).contains("not a handshake"));
}
