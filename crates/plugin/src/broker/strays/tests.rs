use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;

fn bind(path: &Path) -> Address {
    // The file stays when the listener goes.
    drop(UnixListener::bind(path).unwrap());
    Address::Unix(path.to_owned())
}

#[test]
fn what_the_plugin_left_is_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let strays = Strays::new(dir.path().to_owned());
    let elsewhere = tempfile::tempdir().unwrap();
    let left = bind(&dir.path().join("plugin123"));
    strays.note(&left);
    strays.note(&left);
    let stay = [dir.path().join("other"), elsewhere.path().join("plugin123")];
    for path in &stay {
        strays.note(&bind(path));
    }
    let no_socket = dir.path().join("plugin124");
    fs::write(&no_socket, "").unwrap();
    strays.note(&Address::Unix(no_socket.clone()));
    strays.note(&Address::Tcp(([127, 0, 0, 1], 1).into()));

    strays.remove();
    assert!(!dir.path().join("plugin123").exists());
    assert!(no_socket.exists() && stay.iter().all(|path| path.exists()));
}

#[test]
fn what_is_told_of_after_the_plugins_end_is_removed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let strays = Strays::new(dir.path().to_owned());
    strays.remove();
    let path = dir.path().join("plugin123");
    strays.note(&bind(&path));
    assert!(!path.exists());
}

#[test]
fn those_that_the_plugin_has_removed_do_not_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let strays = Strays::new(dir.path().to_owned());
    let kept = dir.path().join("plugin");
    strays.note(&bind(&kept));
    for n in 0..1000 {
        let path = dir.path().join(format!("plugin{n}"));
        strays.note(&bind(&path));
        fs::remove_file(path).unwrap();
    }
    assert!(strays.noted().files.len() <= FEW);
    strays.remove();
    assert!(!kept.exists());
}
