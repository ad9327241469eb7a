use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::by_hand::as_a_host_would;
use crate::processes::{self, files_in};
use crate::wait::{soon, until};

const WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_plugin_goes_with_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::start(host(dir.path())).await;
    host.kill().await;
    host.plugin_goes(dir.path()).await;
}

#[tokio::test]
async fn a_plugin_with_mutual_tls_goes_with_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut command = host(dir.path());
    command.env("PLUGIN_CLIENT_CERT", certificate.pem());
    let mut host = Host::start(command).await;
    // One whose TLS handshake does not come to an end.
    let _silent = UnixStream::connect(&host.socket).await.unwrap();
    host.kill().await;
    host.plugin_goes(dir.path()).await;
}

#[tokio::test]
async fn a_plugin_whose_stdout_was_closed_goes_with_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::start(host(dir.path())).await;
    host.stdout = None;
    host.kill().await;
    host.plugin_goes(dir.path()).await;
}

/// A host that is gone does not read the log either, so logging fails; that must be all that does.
#[tokio::test]
async fn a_plugin_that_logs_goes_with_its_host() {
    for level in ["info", "trace"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = host(dir.path());
        command.env("RUST_LOG", level);
        let mut host = Host::start(command).await;
        host.stdout = None;
        host.shell.stderr = None;
        host.kill().await;
        host.plugin_goes(dir.path()).await;
    }
}

#[tokio::test]
async fn a_plugin_goes_with_a_host_that_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::start(host(dir.path())).await;
    processes::signal(host.shell.id().unwrap(), Signal::TERM);
    host.ended().await;
    host.plugin_goes(dir.path()).await;
}

/// A shell that has started kv_plugin and does nothing else.
#[derive(Debug)]
struct Host {
    shell: Child,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    plugin: u32,
    socket: String,
}

fn host(dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = r#""$0" & echo "pid=$!"; wait"#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_kv_plugin")]);
    as_a_host_would(&mut command, dir);
    command
}

impl Host {
    /// Both print a line, and who is first is open.
    async fn start(mut command: Command) -> Self {
        let mut shell = command.spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let (mut plugin, mut socket) = (None, None);
        while plugin.is_none() || socket.is_none() {
            let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
            match line.strip_prefix("pid=") {
                Some(pid) => plugin = Some(pid.parse().unwrap()),
                None => socket = line.split('|').nth(3).map(str::to_owned),
            }
        }
        Self {
            shell,
            stdout: Some(lines),
            plugin: plugin.unwrap(),
            socket: socket.unwrap(),
        }
    }

    async fn kill(&mut self) {
        self.shell.start_kill().unwrap();
        self.ended().await;
    }

    async fn ended(&mut self) -> ExitStatus {
        soon("the host's end", self.shell.wait()).await.unwrap()
    }

    async fn plugin_goes(&self, dir: &Path) {
        until("whether the plugin runs", false, WITHIN, || {
            processes::runs(self.plugin)
        })
        .await;
        assert_eq!(files_in(dir), [""; 0]);
    }
}

/// A failed test leaves no plugin behind.
impl Drop for Host {
    fn drop(&mut self) {
        if processes::runs(self.plugin) {
            processes::signal(self.plugin, Signal::KILL);
        }
    }
}
