use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{getgid, getgroups};

use crate::by_hand::{ByHand, kv_plugin, refusal};
use crate::processes::files_in;

#[tokio::test]
async fn its_socket_is_in_the_directory_for_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    let socket = ByHand::start(kv_plugin(dir.path())).await.socket();
    assert_eq!(socket.parent(), Some(dir.path()));
    let name = socket.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("plugin"), "{name}");
}

#[tokio::test]
async fn its_socket_is_where_the_host_wants_it() {
    let (dir, wanted) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = kv_plugin(dir.path());
    command.env("PLUGIN_UNIX_SOCKET_DIR", wanted.path());
    let plugin = ByHand::start(command).await;
    assert_eq!(plugin.socket().parent(), Some(wanted.path()));
    assert_eq!(files_in(dir.path()), [""; 0]);
}

#[tokio::test]
async fn a_directory_relative_to_its_own_is_told_in_full() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sockets")).unwrap();
    let mut command = kv_plugin(dir.path());
    command
        .current_dir(dir.path())
        .env("PLUGIN_UNIX_SOCKET_DIR", "sockets");
    let plugin = ByHand::start(command).await;
    assert_eq!(plugin.socket().parent(), Some(&*dir.path().join("sockets")));
}

#[tokio::test]
async fn the_group_that_the_host_names_may_connect() {
    let dir = tempfile::tempdir().unwrap();
    // One that the socket would not have anyway, where this user is in several.
    let own = getgid();
    let other = getgroups().unwrap().into_iter().find(|it| *it != own);
    let group = other.unwrap_or(own).as_raw();
    let mut command = kv_plugin(dir.path());
    command.env("PLUGIN_UNIX_SOCKET_GROUP", group.to_string());
    let plugin = ByHand::start(command).await;
    let socket = fs::metadata(plugin.socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    assert_eq!(socket.gid(), group);
}

#[tokio::test]
async fn a_group_that_is_unknown_is_an_error_that_names_variable_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let set = [("PLUGIN_UNIX_SOCKET_GROUP", "no-such-group")];
    let told = complaint(dir.path(), set).await;
    assert!(told.contains("PLUGIN_UNIX_SOCKET_GROUP"), "{told}");
    assert!(told.contains("no-such-group"), "{told}");
}

#[tokio::test]
async fn a_place_that_can_have_no_socket_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    // A path of a socket has at most 107 bytes.
    let long = dir.path().join("d".repeat(100));
    fs::create_dir(&long).unwrap();
    for place in [missing, file, long] {
        let place = place.to_str().unwrap();
        for variable in ["PLUGIN_UNIX_SOCKET_DIR", "TMPDIR"] {
            let told = complaint(dir.path(), [(variable, place)]).await;
            assert!(told.contains(place), "{variable}: {told}");
        }
    }
}

/// The line is made of fields with `|` between them.
#[tokio::test]
async fn a_place_that_cannot_stand_in_the_line_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("a|b");
    fs::create_dir(&place).unwrap();
    let told = complaint(dir.path(), [("PLUGIN_UNIX_SOCKET_DIR", &place)]).await;
    assert!(told.contains("a|b"), "{told}");
    assert_eq!(files_in(&place), [""; 0]);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_an_error_that_names_the_variable() {
    let wrong_content = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let another_thing = "-----BEGIN PUBLIC KEY-----\naGVsbG8=\n-----END PUBLIC KEY-----\n";
    let cut_off = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n";
    let dir = tempfile::tempdir().unwrap();
    for certificate in [
        b"garbage",
        wrong_content.as_bytes(),
        another_thing.as_bytes(),
        cut_off.as_bytes(),
        b"\xff\xfe",
    ] {
        let certificate = OsStr::from_bytes(certificate);
        let told = complaint(dir.path(), [("PLUGIN_CLIENT_CERT", certificate)]).await;
        assert!(told.contains("PLUGIN_CLIENT_CERT"), "{told}");
    }
}

/// Go hosts write there what means nothing to a plugin on a unix socket.
#[tokio::test]
async fn ports_that_are_none_do_not_matter_to_a_unix_socket() {
    for (variable, value) in [
        ("PLUGIN_MIN_PORT", OsStr::new("many")),
        ("PLUGIN_MIN_PORT", OsStr::new("65535")),
        ("PLUGIN_MAX_PORT", OsStr::new("-1")),
        ("PLUGIN_MAX_PORT", OsStr::from_bytes(b"\xff")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = kv_plugin(dir.path());
        command.env(variable, value);
        ByHand::start(command).await.channel().await;
    }
}

/// What it says on stderr, in one line, when it ends at once because of these variables.
async fn complaint<V: Into<OsString>>(
    dir: &Path,
    variables: impl IntoIterator<Item = (&str, V)>,
) -> String {
    let before = files_in(dir);
    let mut command = kv_plugin(dir);
    command.envs(
        variables
            .into_iter()
            .map(|(name, value)| (name, value.into())),
    );
    let output = refusal(command).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(files_in(dir), before, "{told}");
    told
}
