use std::collections::BTreeMap;

use super::*;
use crate::certificate::tests::{expired, named_otherwise};

fn launcher() -> Launcher {
    Launcher::new("plugin", Cookie::new("BASIC_PLUGIN", "hello").unwrap(), 1)
}

/// What a plugin would be told; `None` for a variable that is taken away.
fn told(launcher: &Launcher, identity: Option<&Identity>) -> BTreeMap<String, Option<String>> {
    let command = launcher.command(Path::new("/sockets"), identity);
    let text = |text: &OsStr| text.to_str().unwrap().to_owned();
    let variables = command.get_envs();
    variables
        .map(|(name, value)| (text(name), value.map(text)))
        .collect()
}

#[test]
fn the_environment_says_what_the_contract_says() {
    let identity = Identity::generate().unwrap();
    let told = told(
        &launcher().with_version(12).with_version(3),
        Some(&identity),
    );
    let expected = [
        ("BASIC_PLUGIN", "hello"),
        ("PLUGIN_CLIENT_CERT", identity.pem()),
        ("PLUGIN_MAX_PORT", "25000"),
        ("PLUGIN_MIN_PORT", "10000"),
        ("PLUGIN_PROTOCOL_VERSIONS", "1,3,12"),
        ("PLUGIN_UNIX_SOCKET_DIR", "/sockets"),
    ];
    for (name, value) in expected {
        assert_eq!(told[name].as_deref(), Some(value), "{name}");
    }
}

#[test]
fn multiplexing_is_asked_for_if_it_is_wanted() {
    let told = told(&launcher().with_multiplexing(), None);
    assert_eq!(told["PLUGIN_MULTIPLEX_GRPC"].as_deref(), Some("true"));
}

#[test]
fn what_another_host_told_this_process_is_not_passed_on() {
    let told = told(
        &launcher().with_variable("PLUGIN_MULTIPLEX_GRPC", "true"),
        None,
    );
    for name in [
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MULTIPLEX_GRPC",
        "PLUGIN_UNIX_SOCKET_GROUP",
    ] {
        assert_eq!(told[name], None, "{name}");
    }
}

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

#[test]
fn only_a_socket_where_upstream_puts_it_is_removed_by_the_host() {
    let temp = std::env::temp_dir();
    let dir = tempfile::tempdir().unwrap();
    let bind = |path: PathBuf| {
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        (listener, path)
    };
    let removed = |path: &Path| socket_elsewhere(&Address::Unix(path.to_owned()), &temp).is_some();
    let (_listener, elsewhere) = bind(dir.path().join("plugin1"));
    assert!(!removed(&elsewhere));
    assert!(elsewhere.exists());

    let named_as_upstream = tempfile::Builder::new()
        .prefix("plugin")
        .make(|path| std::os::unix::net::UnixListener::bind(path));
    let path = named_as_upstream.unwrap().into_temp_path();
    assert!(removed(&path));
    assert!(!path.exists());

    let file = tempfile::Builder::new()
        .prefix("plugin")
        .tempfile_in(&temp)
        .unwrap();
    assert!(!removed(file.path()));
    assert!(file.path().exists());
}

#[test]
fn the_socket_directory_is_its_owners_alone_and_its_path_fits_a_socket() {
    let temp = tempfile::tempdir().unwrap();
    let dir = socket_dir(temp.path()).unwrap();
    assert_eq!(dir.path().parent(), Some(temp.path()));
    assert_eq!(
        dir.path().metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );

    let long = temp.path().join("x".repeat(80));
    std::fs::create_dir(&long).unwrap();
    let dir = socket_dir(&long).unwrap();
    std::os::unix::net::UnixListener::bind(dir.path().join("plugin0123456789")).unwrap();
}

#[test]
fn the_plugins_temp_dir_is_what_it_is_told_to_be() {
    let own = launcher()
        .with_variable("TMPDIR", "/x")
        .with_variable("TMPDIR", "/y");
    assert_eq!(own.plugins_temp_dir(), Path::new("/y"));
    assert_eq!(launcher().plugins_temp_dir(), std::env::temp_dir());
    let cleared = launcher().with_cleared_environment();
    assert_eq!(cleared.plugins_temp_dir(), Path::new("/tmp"));
}
