use std::os::unix::fs::MetadataExt as _;

use super::*;

fn environment(dir: Option<&Path>, group: Option<&str>, ports: RangeInclusive<u16>) -> Environment {
    Environment {
        versions: Vec::new(),
        certificate: None,
        ports: Ok(ports),
        socket_dir: dir.map(Path::to_owned),
        socket_group: group.map(str::to_owned),
        multiplexing: crate::serve::environment::Multiplexing::Unknown,
    }
}

fn unix(dir: &Path, group: Option<&str>) -> Result<Listener, ServeError> {
    Listener::bind(Transport::Unix, &environment(Some(dir), group, 0..=0))
}

fn text(error: &ServeError) -> String {
    format!("{error}: {}", std::error::Error::source(error).unwrap())
}

#[tokio::test]
async fn the_socket_stands_in_the_given_directory_and_goes_with_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let listener = unix(dir.path(), None).unwrap();
    let Address::Unix(path) = listener.address().unwrap() else {
        panic!("not a unix socket")
    };
    assert_eq!(path.parent(), Some(dir.path()));
    assert_eq!(listener.socket_file(), Some(&*path));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn two_plugins_in_one_directory_have_sockets_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let listeners: Vec<_> = (0..50).map(|_| unix(dir.path(), None).unwrap()).collect();
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        listeners.len()
    );
}

#[tokio::test]
async fn a_group_by_number_gets_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let gid = dir.path().metadata().unwrap().gid();
    let listener = unix(dir.path(), Some(&gid.to_string())).unwrap();
    let metadata = listener.socket_file().unwrap().metadata().unwrap();
    assert_eq!(metadata.gid(), gid);
    assert_eq!(metadata.mode() & 0o777, 0o660);
}

#[tokio::test]
async fn an_unknown_group_is_an_error_and_leaves_no_socket() {
    let dir = tempfile::tempdir().unwrap();
    let error = text(&unix(dir.path(), Some("no-such-group")).unwrap_err());
    assert!(
        error.contains("PLUGIN_UNIX_SOCKET_GROUP") && error.contains("no such group"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_that_cannot_hold_a_socket_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let too_long = dir.path().join("x".repeat(100));
    std::fs::create_dir(&too_long).unwrap();
    for unusable in [dir.path().join("missing"), too_long] {
        let error = text(&unix(&unusable, None).unwrap_err());
        assert!(error.contains(unusable.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_free_port_in_the_range_is_taken() {
    let taken = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let in_use = environment(None, None, port..=port);
    let error = text(&Listener::bind(Transport::Tcp, &in_use).unwrap_err());
    assert!(error.contains(&format!("{port}..={port}")), "{error}");

    let wider = environment(None, None, port..=port.saturating_add(200));
    let listener = Listener::bind(Transport::Tcp, &wider).unwrap();
    let Address::Tcp(address) = listener.address().unwrap() else {
        panic!("not a TCP socket")
    };
    assert!(address.ip().is_loopback());
    assert!(address.port() > port);
}

#[tokio::test]
async fn without_a_range_the_system_gives_a_port() {
    let listener = Listener::bind(Transport::Tcp, &environment(None, None, 0..=0)).unwrap();
    let Address::Tcp(address) = listener.address().unwrap() else {
        panic!("not a TCP socket")
    };
    assert_ne!(address.port(), 0);
}
