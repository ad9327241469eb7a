use std::fs;
use std::path::Path;
use std::process::Output;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

pub(crate) use crate::started::{runs, started_with};
use crate::wait::soon;

/// Whether there is a process of this number at all, and be it a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The names in a folder.
pub(crate) fn files_in(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Runs a host to its end, with `dir` as its directory for temporary files: it leaves no process and
/// no file behind.
pub(crate) async fn ran(command: &mut Command, dir: &Path) -> Output {
    let output = soon("the host ends", command.env("TMPDIR", dir).output())
        .await
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(started_with(dir), [0; 0], "{stderr}");
    assert_eq!(files_in(dir), [""; 0], "{stderr}");
    output
}

/// What a host prints that succeeds and leaves nothing behind.
pub(crate) async fn printed(command: &mut Command, dir: &Path) -> String {
    let output = ran(command, dir).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
