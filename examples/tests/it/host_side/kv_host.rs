use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::processes::ran;

const KV_PLUGIN: &str = env!("CARGO_BIN_EXE_kv_plugin");

#[tokio::test]
async fn it_prints_what_it_stored() {
    let dir = tempfile::tempdir().unwrap();
    for options in [&[][..], &["--plain"]] {
        let arguments = ["--plugin", KV_PLUGIN, "put-get", "key", "a value"];
        let output = ran(
            kv_host(dir.path()).args(options).args(arguments),
            dir.path(),
        )
        .await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a value\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[tokio::test]
async fn it_finds_the_plugin_by_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kv_host(dir.path());
    command
        .env("KV_PLUGIN", KV_PLUGIN)
        .args(["put", "key", "value"]);
    let output = ran(&mut command, dir.path()).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_key_without_a_value_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kv_host(dir.path());
    command.args(["--plugin", KV_PLUGIN, "get", "forgotten"]);
    let told = complaint(&mut command, dir.path()).await;
    assert!(told.contains("forgotten"), "{told}");
}

#[tokio::test]
async fn what_is_no_plugin_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for (program, reason) in [
        ("/missing/plugin", "cannot be executed: No such file"),
        ("/bin", "cannot be executed: Permission denied"),
        ("/bin/true", "ended before it printed a handshake line"),
        ("/bin/false", "it ended with exit status: 1"),
        ("/bin/echo", "not a handshake"),
    ] {
        let mut command = kv_host(dir.path());
        command.args(["--plugin", program, "get", "key"]);
        let told = complaint(&mut command, dir.path()).await;
        assert!(told.starts_with("kv_host: "), "{told}");
        assert!(told.contains(program), "{told}");
        assert!(told.contains(reason), "{told}");
    }
}

fn kv_host(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv_host"));
    command
        .env_remove("KV_PLUGIN")
        .env_remove("RUST_LOG")
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What it says on stderr, in one paragraph, when it fails.
async fn complaint(command: &mut Command, dir: &Path) -> String {
    let output = ran(command, dir).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{told}");
    let paragraph = told.strip_suffix('\n').unwrap();
    assert!(
        paragraph.lines().all(|line| !line.trim().is_empty()),
        "{told}"
    );
    told
}
