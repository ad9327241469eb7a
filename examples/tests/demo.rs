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

/// The machine may be busy with other tests: an attempt may take much longer than by default, and an
/// instance lives longer, so that a slow call does not lose five of them.
const PATIENT: [&str; 4] = ["--attempt-timeout-ms", "500", "--kill-every-ms", "300"];

#[tokio::test]
async fn callers_notice_what_is_done_to_the_plugin_only_without_the_stack() {
    let dir = TempDir::new().unwrap();
    let arguments = [&PATIENT[..], &["--seconds", "3", "--callers", "4"]].concat();
    let ended = ended(start(&arguments, dir.path())).await;

    let stdout = String::from_utf8(ended.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "");
    let [failures, failures_without] = numbers(&stdout, "failures");
    assert!(failures == 0.0, "{stdout}");
    assert!(failures_without > 0.0, "{stdout}");
    assert!(
        numbers(&stdout, "calls").map(|it| it > 10.0) == [true; 2],
        "{stdout}"
    );
    for row in ["kills", "restarts"] {
        assert!(
            numbers(&stdout, row).map(|it| it > 2.0) == [true; 2],
            "{stdout}"
        );
    }
    let [attempts, attempts_without] = numbers(&stdout, "attempts per call");
    assert!(attempts > 1.0 && attempts_without == 1.0, "{stdout}");
    assert!(stdout.contains("  circuit closed  "), "{stdout}");
    assert!(!stdout.contains('\x1b'), "escape codes without a terminal");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn it_ends_early_with_its_table() {
    let dir = TempDir::new().unwrap();
    let mut demo = start(&[&PATIENT[..], &["--seconds", "600"]].concat(), dir.path());
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    while !lines
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("  calls ")
    {}
    let pid = Pid::from_raw(demo.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();

    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest += &format!("{line}\n");
    }
    assert!(ended(demo).await.status.success());
    let [calls] = numbers(&rest, "calls");
    assert!(calls > 0.0, "{rest}");
    assert_nothing_left(dir.path());
}

#[tokio::test]
async fn it_says_why_its_plugin_cannot_be_started() {
    let ended = ended(start(&[], Path::new("/nowhere"))).await;

    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("demo: "), "{stderr}");
    assert!(stderr.contains(": plugin "), "{stderr}");
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

/// The numbers in the row of the closing table, which has one for each run.
fn numbers<const RUNS: usize>(stdout: &str, row: &str) -> [f64; RUNS] {
    let cells = stdout.lines().find_map(|line| {
        let (name, cells) = line.strip_prefix('│')?.split_once('┆')?;
        (name.trim() == row).then_some(cells)
    });
    let cells = cells.expect(stdout).trim_end_matches('│').split('┆');
    let numbers: Vec<_> = cells
        .map(|it| it.trim().replace(',', "").parse().expect(it))
        .collect();
    numbers.try_into().expect(stdout)
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
