//! The demo, as whoever tries the project first runs it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_kills_its_plugin_and_starts_it_again() {
    let dir = TempDir::new().unwrap();
    let ended = ended(start(&["--seconds", "3"], dir.path())).await;

    let stdout = String::from_utf8(ended.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "");
    assert!(number(&stdout, "calls") > 100, "{stdout}");
    assert!(number(&stdout, "failures") > 0, "{stdout}");
    assert!(number(&stdout, "restarts") > 0, "{stdout}");
    for told in ["killed pid ", "plugin started again in ", "plugin stopped"] {
        assert!(stdout.contains(told), "{stdout}");
    }
    assert!(!stdout.contains('\x1b'), "escape codes without a terminal");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn it_ends_early_with_its_table() {
    let dir = TempDir::new().unwrap();
    let mut demo = start(&["--seconds", "600"], dir.path());
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    while !lines
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("calls  ")
    {}
    let pid = Pid::from_raw(demo.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();

    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest += &format!("{line}\n");
    }
    assert!(ended(demo).await.status.success());
    assert!(number(&rest, "calls") > 0, "{rest}");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn it_says_why_its_plugin_cannot_be_started() {
    let ended = ended(start(&[], Path::new("/nowhere"))).await;

    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("demo: plugin "), "{stderr}");
    assert!(stderr.contains(" did not start: "), "{stderr}");
    assert!(stderr.contains("No such file or directory"), "{stderr}");
}

fn start(arguments: &[&str], temp_dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(arguments)
        .env("TMPDIR", temp_dir)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ended(demo: Child) -> Output {
    let ended = timeout(WITHIN, demo.wait_with_output()).await;
    ended.expect("the demo ends").unwrap()
}

/// The number in the row of the closing table.
fn number(stdout: &str, row: &str) -> u64 {
    let cells = stdout.lines().find_map(|line| {
        let (name, cells) = line.strip_prefix('│')?.split_once('┆')?;
        (name.trim() == row).then_some(cells)
    });
    let number = cells.expect(stdout).split('┆').next().unwrap();
    number.trim().replace(',', "").parse().unwrap()
}

/// The demo and its plugin have `dir` for temporary files, and nobody else has.
fn assert_nothing_left(dir: &Path) {
    let files: Vec<_> = dir.read_dir().unwrap().flatten().collect();
    assert!(files.is_empty(), "{files:?}");
    let variable = format!("TMPDIR={}", dir.display());
    let processes = Path::new("/proc").read_dir().unwrap().flatten();
    let left: Vec<_> = processes
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|it| it == variable.as_bytes())
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
