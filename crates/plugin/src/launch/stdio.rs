use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::Channel;

use super::log;
use super::output::{Lines, Tail};
use crate::generated::StdioData;
use crate::generated::grpc_stdio_client::GrpcStdioClient;
use crate::generated::stdio_data;

/// Between a stream that was lost with its connection, and the next.
const OPENED_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What is read ahead of the lines for `tracing`.
const READ_AHEAD: usize = 8 * 1024;

/// A writer of the user's; launches of a launcher and its clones share it.
#[derive(Clone)]
pub(crate) struct Writer(Arc<tokio::sync::Mutex<Pin<Box<dyn AsyncWrite + Send>>>>);

/// Where a plugin's output goes; to `tracing` where there is no writer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writers {
    pub(crate) stdout: Option<Writer>,
    pub(crate) stderr: Option<Writer>,
}

/// Fetches what a plugin prints over `plugin.GRPCStdio`, from when it is connected until this is dropped.
#[derive(Debug)]
pub(crate) struct HostStdio {
    plugin: Arc<str>,
    writers: Writers,
    tail: Tail,
    task: Mutex<JoinSet<()>>,
    /// False while there may be output on its way.
    idle: watch::Sender<bool>,
}

impl Writer {
    pub(crate) fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self(Arc::new(tokio::sync::Mutex::new(Box::pin(writer))))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").finish_non_exhaustive()
    }
}

impl HostStdio {
    pub(crate) fn new(plugin: Arc<str>, writers: Writers, tail: Tail) -> Self {
        Self {
            plugin,
            writers,
            tail,
            task: Mutex::default(),
            idle: watch::Sender::new(true),
        }
    }

    /// Begins, once, over a channel to a process that may go.
    pub(crate) fn open(&self, channel: Channel, gone: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.is_empty() {
            return;
        }
        self.idle.send_replace(false);
        let idle = self.idle.clone();
        let plugin = Arc::clone(&self.plugin);
        let (stdout, stderr) = (duplex(READ_AHEAD), duplex(READ_AHEAD));
        let [stdout_lines, stderr_lines] = [stdout.1, stderr.1].map(Lines::over);
        let sinks = Sinks {
            stdout: Sink::new(self.writers.stdout.clone(), stdout.0),
            stderr: Sink::new(self.writers.stderr.clone(), stderr.0),
        };
        let tail = self.tail.clone();
        tasks.spawn(async move {
            tokio::join!(
                fetch(channel, sinks, gone, &plugin),
                log::forward_stdout(stdout_lines, Arc::clone(&plugin)),
                log::forward_stderr(stderr_lines, Arc::clone(&plugin), tail),
            );
            idle.send_replace(true);
        });
    }

    /// Resolves when nothing more comes.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut idle = self.idle.subscribe();
        async move {
            // An error means that it is not fetched any more.
            let _ = idle.wait_for(|idle| *idle).await;
        }
    }
}

/// Until the plugin says that there is no more, or that it has no such service, or is gone.
async fn fetch(channel: Channel, mut sinks: Sinks, gone: impl Future<Output = ()>, plugin: &str) {
    let mut gone = std::pin::pin!(gone);
    let mut client = GrpcStdioClient::new(channel);
    loop {
        let failed = match client.stream_stdio(()).await {
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(data)) => sinks.take(&data, plugin).await,
                        Ok(None) => return,
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        let code = failed.code();
        tracing::debug!(plugin, ?code, "stdio stream lost or not available");
        // An answer of the plugin's has no cause on this side: it has no such service, or gives its
        // output to somebody else.
        if failed.source().is_none() {
            return;
        }
        tokio::select! {
            () = &mut gone => return,
            () = sleep(OPENED_AGAIN_AFTER) => {}
        }
    }
}

struct Sinks {
    stdout: Sink,
    stderr: Sink,
}

impl Sinks {
    async fn take(&mut self, data: &StdioData, plugin: &str) {
        let sink = match data.channel() {
            stdio_data::Channel::Stdout => &mut self.stdout,
            stdio_data::Channel::Stderr => &mut self.stderr,
            stdio_data::Channel::Invalid => {
                tracing::warn!(plugin, channel = data.channel, "output of no known channel");
                return;
            }
        };
        sink.write(&data.data, plugin).await;
    }
}

/// A writer of the user's as long as it takes anything, and then the lines for `tracing`.
struct Sink {
    writer: Option<Writer>,
    lines: DuplexStream,
}

impl Sink {
    const fn new(writer: Option<Writer>, lines: DuplexStream) -> Self {
        Self { writer, lines }
    }

    async fn write(&mut self, bytes: &[u8], plugin: &str) {
        if let Some(writer) = &self.writer {
            let mut locked = writer.0.lock().await;
            let written = async {
                locked.write_all(bytes).await?;
                locked.flush().await
            };
            let Err(error) = written.await else { return };
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                plugin,
                error,
                "writer of a plugin's output failed, and is left"
            );
            drop(locked);
            self.writer = None;
        }
        // Its other side is read for as long as this one lives.
        let _ = self.lines.write_all(bytes).await;
    }
}

#[cfg(test)]
mod tests;
