use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::grpc::channel_over;
use crate::processes;
use crate::wait::soon;

/// A kv_plugin whose host is the test itself.
#[derive(Debug)]
pub(crate) struct ByHand {
    child: Child,
    stdout: BufReader<ChildStdout>,
    line: String,
}

/// kv_plugin with what hosts always tell it, and `dir` as its directory for temporary files.
pub(crate) fn kv_plugin(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv_plugin"));
    as_a_host_would(&mut command, dir);
    command
}

/// Sets the environment and the pipes of a plugin.
pub(crate) fn as_a_host_would(command: &mut Command, dir: &Path) {
    command
        .env_clear()
        .env("BASIC_PLUGIN", "hello")
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
}

/// Runs a plugin that does not come to serve.
pub(crate) async fn refusal(mut command: Command) -> Output {
    soon("the plugin ends by itself", command.output())
        .await
        .unwrap()
}

impl ByHand {
    /// Starts the plugin and reads its handshake line.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        soon("the handshake line", stdout.read_line(&mut line))
            .await
            .unwrap();
        assert!(line.ends_with('\n'), "{line:?}");
        Self {
            child,
            stdout,
            line,
        }
    }

    /// What it printed, with the end of the line.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn fields(&self) -> Vec<&str> {
        self.line.trim_end().split('|').collect()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        assert_eq!(self.fields()[2], "unix", "{}", self.line);
        PathBuf::from(self.fields()[3])
    }

    /// The DER of the plugin's certificate.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        BASE64_STANDARD_NO_PAD.decode(self.fields()[5]).unwrap()
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        let stream = self.connect().await;
        soon("HTTP/2", channel_over(stream)).await.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        processes::signal(self.child.id().unwrap(), signal);
    }

    /// Nobody reads what it writes to stderr any more.
    pub(crate) fn close_stderr(&mut self) {
        self.child.stderr = None;
    }

    /// Its end, which must come within this time; with all that it wrote.
    pub(crate) async fn ended(mut self, within: Duration) -> Output {
        let status = timeout(within, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("not within {within:?}: the plugin ends"))
            .unwrap();
        let (mut stdout, mut stderr) = (self.line.into_bytes(), Vec::new());
        soon(
            "the end of its stdout",
            self.stdout.read_to_end(&mut stdout),
        )
        .await
        .unwrap();
        if let Some(mut pipe) = self.child.stderr {
            soon("the end of its stderr", pipe.read_to_end(&mut stderr))
                .await
                .unwrap();
        }
        Output {
            status,
            stdout,
            stderr,
        }
    }
}
