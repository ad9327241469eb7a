use std::future::Future;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::{TempDir, TempPath};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use super::attached::Running;
use super::connector::Connector;
use super::error::{ConnectError, ConnectFailure, Left, StillRunning};
use super::output::Tail;
use super::stdio::HostStdio;
use crate::broker::{Broker, HostBroker};
use crate::generated::Empty;
use crate::generated::grpc_controller_client::GrpcControllerClient;
use crate::serve::HEALTH_SERVICE;

/// How long a plugin may take to end after SIGTERM, and after SIGKILL.
const AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// The last lines of stderr may still be in the pipe when the process has ended.
const STDERR_WITHIN: Duration = Duration::from_millis(200);

/// A plugin that runs.
///
/// # Drop
/// Ends the plugin at once and leaves nothing behind: SIGKILL for its process group, then a wait
/// for its end of at most a second (commonly under a millisecond), and its socket file is removed.
/// [`stop`](Self::stop) is the polite way. A plugin that was [attached to](crate::Reattach::attach) is
/// left running.
#[derive(Debug)]
pub struct Instance {
    // The process first, as the others remove what it leaves: fields are dropped in this order.
    pub(crate) process: Running,
    #[expect(dead_code, reason = "kept for what they do when dropped")]
    pub(crate) files: Option<SocketFiles>,
    pub(crate) output: ForwardedOutput,
    pub(crate) broker: HostBroker,
    pub(crate) stdio: HostStdio,
    pub(crate) plugin: Arc<str>,
    pub(crate) version: u32,
    pub(crate) connector: Connector,
    pub(crate) multiplexed: bool,
    pub(crate) channel: OnceCell<Channel>,
    pub(crate) connect_within: Duration,
    pub(crate) stop_within: Duration,
}

/// What is removed once the process has ended.
#[derive(Debug)]
#[expect(dead_code, reason = "kept for what they do when dropped")]
pub(crate) struct SocketFiles {
    /// Where a plugin that heeds the host's wish puts its socket.
    pub(crate) dir: TempDir,
    /// The socket of one that does not.
    pub(crate) elsewhere: Option<TempPath>,
}

/// The tasks that read the process's output; they end with this.
#[derive(Debug)]
pub(crate) struct ForwardedOutput {
    pub(crate) tail: Tail,
    /// Its sender goes when stderr has been read to its end.
    pub(crate) stderr_read: watch::Receiver<()>,
    pub(crate) tasks: JoinSet<()>,
}

/// How a plugin ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    status: Option<ExitStatus>,
    stderr: Vec<String>,
}

/// How a plugin was [stopped](Instance::stop).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    by: StoppedBy,
    exit: Exit,
}

/// What it took to end a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoppedBy {
    /// It had ended before it was asked.
    Itself,
    /// It ended after the `Shutdown` call, within the time for it.
    Shutdown,
    /// It ended after SIGTERM.
    Terminate,
    /// It had to be killed.
    Kill,
    /// It was left running, since it was attached to [in test mode](crate::Reattach::in_test_mode).
    Nothing,
}

impl ForwardedOutput {
    /// What stderr ended with; only once the process has.
    pub(crate) async fn into_last_lines(mut self) -> Vec<String> {
        // Bounded, since a process that left the group may hold the pipe open.
        let _ = timeout(STDERR_WITHIN, self.stderr_read.changed()).await;
        self.tail.lines()
    }
}

impl Instance {
    /// The process id of the plugin, which is also that of its process group if it was launched.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The app protocol version that the plugin chose, one of the launcher's.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Opens connections to this plugin, for a client that speaks HTTP/2 itself.
    #[must_use]
    pub const fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A channel to the plugin, for generated clients. The first call connects and waits until the
    /// plugin has answered a health check, with whatever answer but NOT_SERVING; later calls give
    /// clones of the same channel.
    ///
    /// The channel connects again when its connection is lost, but always to this process; it is of
    /// no use when that has ended. Generated clients take answers of up to 4 MiB unless told otherwise
    /// (`max_decoding_message_size`).
    ///
    /// # Errors
    /// If that does not come about within the launcher's time for it (5 s by default).
    ///
    /// # Cancel safety
    /// Dropped, it closes what it opened; the next call tries again.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        let channel = self
            .channel
            .get_or_try_init(|| self.connect_first())
            .await?;
        Ok(channel.clone())
    }

    /// What makes further connections between this host and the plugin, in either direction, once it
    /// is [connected](Self::connect); that is done first. Later calls give the same broker, and open
    /// its stream anew if that has been lost.
    ///
    /// # Errors
    /// As those of [`connect`](Self::connect). A plugin that has no broker shows in the use of it.
    ///
    /// # Cancel safety
    /// As that of [`connect`](Self::connect).
    pub async fn broker(&self) -> Result<Broker, ConnectError> {
        let channel = self.connect().await?;
        self.broker.open(channel);
        Ok(self.broker.broker().clone())
    }

    async fn connect_first(&self) -> Result<Channel, ConnectError> {
        let connecting = async {
            // Connecting here first keeps the cause, which the channel would bury in its own.
            let first = self.connector.clone().oneshot(()).await?;
            let channel = self.connector.channel_over(first);
            match self.check(channel.clone()).await {
                // Only an answer of the plugin has no cause on this side.
                Err(status) if std::error::Error::source(&status).is_some() => {
                    Err(self.failed(ConnectFailure::Grpc(status)))
                }
                Ok(ServingStatus::NotServing) => Err(self.failed(ConnectFailure::NotServing)),
                _ => Ok(channel),
            }
        };
        let connected = timeout(self.connect_within, connecting).await;
        match connected
            .unwrap_or_else(|_| Err(self.failed(ConnectFailure::Timeout(self.connect_within))))
        {
            Ok(channel) => {
                // At once: some plugins wait for it.
                self.broker.open(channel.clone());
                let ended = self.process.ended();
                self.stdio.open(channel.clone(), async {
                    ended.await;
                });
                Ok(channel)
            }
            Err(error) => Err(error.with_left(self.left_so_far().await)),
        }
    }

    /// Asks the plugin for its health, over the channel of [`connect`](Self::connect).
    ///
    /// # Errors
    /// If it cannot be reached, then does not answer within the time to connect, answers with an error
    /// (as a plugin without a health service does), or says that it does not serve.
    pub async fn check_health(&self) -> Result<(), ConnectError> {
        let channel = self.connect().await?;
        let failure = match timeout(self.connect_within, self.check(channel)).await {
            Ok(Ok(ServingStatus::Serving)) => return Ok(()),
            Ok(Ok(_)) => ConnectFailure::NotServing,
            Ok(Err(status)) => ConnectFailure::Grpc(status),
            Err(_) => ConnectFailure::Timeout(self.connect_within),
        };
        Err(self.failed(failure).with_left(self.left_so_far().await))
    }

    async fn check(&self, channel: Channel) -> Result<ServingStatus, tonic::Status> {
        let service = HEALTH_SERVICE.to_owned();
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest { service })
            .await?;
        Ok(answer.into_inner().status())
    }

    /// Resolves when the plugin has ended, by itself or not, and its output was read; it may be
    /// asked for any number of times, and outlives the instance.
    ///
    /// # Panics
    /// When polled outside a tokio runtime with time.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static + use<> {
        let ended = self.process.ended();
        let mut stderr_read = self.output.stderr_read.clone();
        let drained = self.stdio.drained();
        let tail = self.output.tail.clone();
        async move {
            let status = ended.await;
            // Bounded, since a process that left the group may hold the pipe open.
            let read = async { tokio::join!(stderr_read.changed(), drained) };
            let _ = timeout(STDERR_WITHIN, read).await;
            Exit {
                status,
                stderr: tail.lines(),
            }
        }
    }

    /// Ends the plugin: asks it by a `Shutdown` call and waits up to the launcher's grace (2 s by
    /// default) unless it could not be asked, then SIGTERM and a second, then SIGKILL, for its whole
    /// process group.
    ///
    /// # Errors
    /// If it still runs a second after SIGKILL, as a process that is stuck in the kernel does.
    ///
    /// # Cancel safety
    /// Dropped, it ends the plugin as dropping the instance does.
    pub async fn stop(self) -> Result<Stopped, StillRunning> {
        let exited = self.exited();
        let mut exited = std::pin::pin!(exited);
        let stopped = |by, exit| Ok(Stopped { by, exit });
        if self.process.is_tested() {
            let exit = Exit {
                status: None,
                stderr: self.output.tail.lines(),
            };
            return stopped(StoppedBy::Nothing, exit);
        }
        if self.process.ended_as().is_some() {
            return stopped(StoppedBy::Itself, exited.await);
        }
        let asked = async {
            self.shutdown().await.ok()?;
            Some(exited.as_mut().await)
        };
        if let Ok(Some(exit)) = timeout(self.stop_within, asked).await {
            return stopped(StoppedBy::Shutdown, exit);
        }
        for (signal, by) in [
            (Signal::TERM, StoppedBy::Terminate),
            (Signal::KILL, StoppedBy::Kill),
        ] {
            tracing::warn!(plugin = %self.plugin, pid = self.pid(), ?by, "plugin does not stop");
            self.process.signal(signal);
            if let Ok(exit) = timeout(AFTER_SIGNAL, exited.as_mut()).await {
                return stopped(by, exit);
            }
        }
        Err(StillRunning {
            pid: self.pid(),
            within: AFTER_SIGNAL,
        })
    }

    /// An error if the plugin could not be asked; plugins that stop their server within the call let
    /// it fail, and that is none.
    async fn shutdown(&self) -> Result<(), ConnectError> {
        // Not over the channel: that may be busy, or about to notice that its connection is lost. A
        // stream of that same connection has no advantage, and might have to wait for its turn.
        let channel = match self.channel.get() {
            Some(channel) if self.multiplexed => channel.clone(),
            _ => {
                let connection = self.connector.clone().oneshot(()).await?;
                self.connector.channel_over(connection)
            }
        };
        let _ = GrpcControllerClient::new(channel).shutdown(Empty {}).await;
        self.broker.close();
        Ok(())
    }

    fn failed(&self, failure: ConnectFailure) -> ConnectError {
        ConnectError::new(failure, self.connector.address().to_string())
    }

    /// What explains a failure by now; a connection is lost a little before the process has ended.
    async fn left_so_far(&self) -> Left {
        let exit = timeout(STDERR_WITHIN, self.exited()).await;
        Left {
            status: exit.ok().and_then(|exit| exit.status),
            stderr: self.output.tail.lines(),
        }
    }
}

impl Exit {
    /// The exit status; none if something else in this process took it, by waiting for all
    /// children or by ignoring SIGCHLD, and of a plugin that was attached to.
    #[must_use]
    pub const fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// The last lines that the plugin wrote to stderr: at most 20, of at most 512 characters.
    #[must_use]
    pub fn stderr(&self) -> &[String] {
        &self.stderr
    }
}

impl Stopped {
    /// What it took.
    #[must_use]
    pub const fn by(&self) -> StoppedBy {
        self.by
    }

    /// How the plugin ended.
    #[must_use]
    pub const fn exit(&self) -> &Exit {
        &self.exit
    }
}
