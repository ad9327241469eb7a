use super::program::command;
use crate::processes::{printed, ran};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facade");
const PLUGIN: &str = env!("CARGO_BIN_EXE_kv_plugin");

#[tokio::test]
async fn nobody_notices_that_all_processes_are_killed_before_each_call() {
    for values in [&["a"][..], &["a", "b", "c"]] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = [&["--plugin", PLUGIN, "key"][..], values].concat();
        let printed = printed(&mut command(PROGRAM, &arguments), dir.path()).await;
        let (stored, processes) = printed.trim_end().rsplit_once("\nprocesses: ").unwrap();
        let values: Vec<_> = values.iter().map(|it| format!("key = {it}")).collect();
        assert_eq!(stored, values.join("\n"));
        // The two that it began with are dead.
        assert!(processes.parse::<u32>().unwrap() > 2, "{processes}");
    }
}

#[tokio::test]
async fn two_processes_are_enough_where_none_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--plugin", PLUGIN, "--peaceful", "other", "1", "2"];
    assert_eq!(
        printed(&mut command(PROGRAM, &arguments), dir.path()).await,
        "other = 1\nother = 2\nprocesses: 2\n"
    );
}

#[tokio::test]
async fn what_is_no_plugin_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for (program, reason) in [
        ("/missing/plugin", "cannot be executed"),
        ("/bin/echo", "not a handshake"),
    ] {
        let mut command = command(PROGRAM, &["--plugin", program, "key", "value"]);
        let output = ran(&mut command, dir.path()).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{told}"
        );
        assert!(
            told.starts_with("facade: ") && told.contains(program),
            "{told}"
        );
        assert!(told.contains(reason), "{told}");
    }
}
