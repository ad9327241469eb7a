use std::os::unix::ffi::OsStringExt as _;

use super::*;
use crate::certificate::Identity;

fn read(variables: &[(&str, &str)]) -> Result<Option<Environment>, InvalidEnvironment> {
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    Environment::read(&cookie, |name| {
        let mut found = variables.iter().filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| OsString::from(value))
    })
}

fn with_cookie(name: &str, value: &str) -> Result<Environment, InvalidEnvironment> {
    Ok(read(&[("BASIC_PLUGIN", "hello"), (name, value)])?.unwrap())
}

#[test]
fn without_the_right_cookie_there_is_no_host() {
    assert!(read(&[]).unwrap().is_none());
    assert!(read(&[("BASIC_PLUGIN", "")]).unwrap().is_none());
    assert!(read(&[("BASIC_PLUGIN", "Hello")]).unwrap().is_none());
    // Nonsense elsewhere is no matter then: a person is to be told what this program is.
    assert!(read(&[("PLUGIN_MIN_PORT", "x")]).unwrap().is_none());
}

#[test]
fn what_is_not_set_or_empty_has_no_effect() {
    let variables = [
        "PLUGIN_PROTOCOL_VERSIONS",
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MIN_PORT",
        "PLUGIN_MAX_PORT",
        "PLUGIN_UNIX_SOCKET_DIR",
        "PLUGIN_UNIX_SOCKET_GROUP",
        "PLUGIN_MULTIPLEX_GRPC",
    ];
    for name in variables {
        let environment = with_cookie(name, "").unwrap();
        assert!(environment.versions.is_empty());
        assert!(environment.certificate.is_none());
        assert_eq!(environment.ports, Ok(0..=0));
        assert_eq!(environment.socket_dir, None);
        assert_eq!(environment.socket_group, None);
        assert_eq!(environment.multiplexing, Multiplexing::Unknown);
    }
}

#[test]
fn multiplexing_is_asked_for_by_what_go_takes_for_true() {
    for (word, expected) in [
        ("true", Multiplexing::On),
        ("1", Multiplexing::On),
        ("T", Multiplexing::On),
        ("false", Multiplexing::Off),
        ("0", Multiplexing::Off),
        ("yes", Multiplexing::Off),
    ] {
        let environment = with_cookie("PLUGIN_MULTIPLEX_GRPC", word).unwrap();
        assert_eq!(environment.multiplexing, expected, "{word}");
    }
}

#[test]
fn versions_that_are_no_numbers_are_passed_over() {
    let environment = with_cookie("PLUGIN_PROTOCOL_VERSIONS", "7,x,,-1, 3,4294967296,1").unwrap();
    assert_eq!(environment.versions, [7, 3, 1]);
}

#[test]
fn a_certificate_asks_for_tls() {
    let identity = Identity::generate().unwrap();
    let environment = with_cookie("PLUGIN_CLIENT_CERT", identity.pem()).unwrap();
    assert!(environment.certificate.is_some());
}

fn assert_says(error: &InvalidEnvironment, name: &str, value: &str, problem: &str) {
    assert_eq!(error.variable(), name);
    let text = error.to_string();
    let said = [name, value, problem]
        .iter()
        .all(|part| text.contains(part));
    assert!(said, "{text}");
}

#[test]
fn nonsense_is_an_error_that_names_the_variable_and_shows_its_value() {
    let error = with_cookie("PLUGIN_CLIENT_CERT", "hello").unwrap_err();
    assert_says(
        &error,
        "PLUGIN_CLIENT_CERT",
        "hello",
        "not a certificate in PEM",
    );
}

#[test]
fn nonsense_ports_are_an_error_only_where_a_port_is_wanted() {
    for (name, value, problem) in [
        ("PLUGIN_MIN_PORT", "http", "not a port number"),
        ("PLUGIN_MAX_PORT", "65536", "not a port number"),
        ("PLUGIN_MIN_PORT", "2000", "more than PLUGIN_MAX_PORT"),
    ] {
        let environment = with_cookie(name, value).unwrap();
        assert_says(&environment.ports.unwrap_err(), name, value, problem);
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_an_error() {
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let error = Environment::read(&cookie, |name| {
        Some(match name {
            "BASIC_PLUGIN" => "hello".into(),
            _ => OsString::from_vec(vec![0xff]),
        })
    });
    assert!(error.unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn a_long_value_is_shown_shortened() {
    let error = with_cookie("PLUGIN_CLIENT_CERT", &"é".repeat(100_000)).unwrap_err();
    assert!(error.to_string().len() < 500);
}
