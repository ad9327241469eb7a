//! Launches by the hundred leave nothing behind.

#[path = "it/wait.rs"]
mod wait;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use mainstay_examples::kv;
use mainstay_examples::proto::PutRequest;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_plugin::{Launcher, StoppedBy};
use tokio::runtime::Runtime;

use crate::wait::{soon, until};

const ROUNDS: u32 = 50;

/// Set in the process that does it.
const INSIDE: &str = "MAINSTAY_SOAK";

/// In a process of its own: no other test opens files or starts threads in it, and it can be given
/// a directory for temporary files.
#[test]
fn two_hundred_launches_leave_nothing_behind() {
    if std::env::var_os(INSIDE).is_some() {
        return Runtime::new().unwrap().block_on(launch_again_and_again());
    }
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "two_hundred_launches_leave_nothing_behind",
            "--nocapture",
        ])
        .env(INSIDE, "1")
        .env("TMPDIR", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

async fn launch_again_and_again() {
    let before = Things::now();
    for _ in 0..ROUNDS {
        round().await;
    }
    // Tasks and threads that were told to end are not waited for.
    let within = Duration::from_secs(5);
    until("what this process holds", before, within, Things::now).await;
}

/// Four launches side by side: plain and with mutual TLS, two that are stopped and two dropped.
async fn round() {
    let program = env!("CARGO_BIN_EXE_kv_plugin");
    let plain = Launcher::new(program, kv::cookie().unwrap(), kv::VERSION);
    let mutual_tls = plain.clone().with_auto_mtls();
    let (a, b, c, d) = (
        tokio::spawn(launch(plain.clone(), true)),
        tokio::spawn(launch(plain, false)),
        tokio::spawn(launch(mutual_tls.clone(), true)),
        tokio::spawn(launch(mutual_tls, false)),
    );
    for launched in [a, b, c, d] {
        soon("a launch", launched).await.unwrap();
    }
}

async fn launch(launcher: Launcher, is_stopped: bool) {
    let plugin = launcher.launch().await.unwrap();
    let mut kv = KvClient::new(plugin.connect().await.unwrap());
    let (key, value) = ("key".to_owned(), b"value".to_vec());
    kv.put(PutRequest { key, value }).await.unwrap();
    if is_stopped {
        assert_eq!(plugin.stop().await.unwrap().by(), StoppedBy::Shutdown);
    }
}

/// What this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Things {
    descriptors: usize,
    threads: usize,
    /// Zombies too.
    children: Vec<u32>,
    temporary_files: Vec<OsString>,
}

impl Things {
    fn now() -> Self {
        let names = |dir: &Path| -> Vec<OsString> {
            let entries = fs::read_dir(dir).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        let processes = names("/proc".as_ref());
        let processes = processes.iter().filter_map(|it| it.to_str()?.parse().ok());
        Self {
            descriptors: names("/proc/self/fd".as_ref()).len(),
            threads: names("/proc/self/task".as_ref()).len(),
            children: processes
                .filter(|it| parent(*it) == Some(process::id()))
                .collect(),
            temporary_files: names(&std::env::temp_dir()),
        }
    }
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which is in parentheses and may hold anything: state, parent.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}
