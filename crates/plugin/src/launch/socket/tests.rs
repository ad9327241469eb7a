use std::path::PathBuf;

use super::*;

#[test]
fn only_a_socket_where_upstream_puts_it_is_removed_by_the_host() {
    let temp = std::env::temp_dir();
    let dir = tempfile::tempdir().unwrap();
    let bind = |path: PathBuf| {
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        (listener, path)
    };
    let removed = |path: &Path| elsewhere(&Address::Unix(path.to_owned()), &temp).is_some();
    let (_listener, other) = bind(dir.path().join("plugin1"));
    assert!(!removed(&other));
    assert!(other.exists());

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
    let made = dir(temp.path()).unwrap();
    assert_eq!(made.path().parent(), Some(temp.path()));
    assert_eq!(
        made.path().metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );

    let long = temp.path().join("x".repeat(80));
    std::fs::create_dir(&long).unwrap();
    let made = dir(&long).unwrap();
    std::os::unix::net::UnixListener::bind(made.path().join("plugin0123456789")).unwrap();
}
