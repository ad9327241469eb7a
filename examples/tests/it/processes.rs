use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Whether a process of this number is there and no zombie: those of the dead that this process did
/// not start are its parent's to reap.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(state(&stat), Some("Z" | "X")))
}

/// Whether there is a process of this number at all, and be it a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The processes that run with the variable `TMPDIR` set to `dir`, which they inherit.
pub(crate) fn started_with(dir: &Path) -> Vec<u32> {
    let variable = [b"TMPDIR=", dir.as_os_str().as_encoded_bytes()].concat();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|it| it == variable))
        })
        .filter(|pid| runs(*pid))
        .collect()
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

/// The third field; the second is in parentheses and may hold anything.
fn state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().next()
}
