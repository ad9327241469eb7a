//! Plugins that are shell scripts: they can be wrong in any way.

use std::path::Path;
use std::time::Duration;

use mainstay_plugin::{Cookie, Launcher};

/// A bound for what should take milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A launcher whose plugin is `script`, run by `sh`. The script's process id stands in `$$`; with
/// `echo $$ > $PID_FILE` it can be told to the test.
pub(crate) fn launcher(script: &str) -> Launcher {
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    Launcher::new("/bin/sh", cookie, 1)
        .with_argument("-c")
        .with_argument(script)
        .with_start_within(SOON)
        .with_connect_within(SOON)
}

/// Whether there is neither a process nor a zombie of this number.
pub(crate) fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// A script that writes its process id to a file, and then does the rest.
pub(crate) struct Traced {
    dir: tempfile::TempDir,
}

impl Traced {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    pub(crate) fn launcher(&self, script: &str) -> Launcher {
        let file = self.dir.path().join("pid");
        launcher(&format!("echo $$ > \"$PID_FILE\"; {script}")).with_variable("PID_FILE", file)
    }

    /// None if the script did not come to its first line.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.dir.path().join("pid")).ok()?;
        text.trim().parse().ok()
    }
}
