//! Which processes a test has started, and their descendants.

use std::fs;
use std::path::Path;

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

/// Whether a process of this number is there and no zombie: those of the dead that this process did
/// not start are its parent's to reap.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(state(&stat), Some("Z" | "X")))
}

/// The third field; the second is in parentheses and may hold anything.
fn state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().next()
}
