use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::attached::{Attached, Running};
use super::connector::Connector;
use super::error::{ConnectError, ConnectFailure};
use super::instance::{ForwardedOutput, Instance};
use super::output::Tail;
use super::stdio::{HostStdio, Writers};
use crate::broker::{HostBroker, Means};
use crate::line::Address;
use crate::serve::Place;

/// A plugin that runs already, and that another program has started: in a debugger, or before this host
/// was restarted.
///
/// It must not use TLS: its certificate is told in a handshake line only, to who started it.
///
/// ```no_run
/// use mainstay_plugin::{Address, Reattach};
///
/// # async fn host() -> Result<(), mainstay_plugin::ConnectError> {
/// let (version, pid) = (1, 4242);
/// let running = Reattach::new(Address::Unix("/tmp/plugin123".into()), version, pid);
/// let plugin = running.attach().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reattach {
    address: Address,
    version: u32,
    pid: u32,
    is_tested: bool,
    connect_within: Duration,
    stop_within: Duration,
}

impl Reattach {
    /// The process `pid`, which listens at `address` and speaks the app protocol `version`.
    #[must_use]
    pub const fn new(address: Address, version: u32, pid: u32) -> Self {
        Self {
            address,
            version,
            pid,
            is_tested: false,
            connect_within: Duration::from_secs(5),
            stop_within: Duration::from_secs(2),
        }
    }

    /// The plugin belongs to a test, which ends it: [`Instance::stop`] leaves it as it is.
    #[must_use]
    pub const fn in_test_mode(mut self) -> Self {
        self.is_tested = true;
        self
    }

    /// How long it may take to connect, a health check included; 5 s by default.
    #[must_use]
    pub const fn with_connect_within(mut self, connect_within: Duration) -> Self {
        self.connect_within = connect_within;
        self
    }

    /// How long the plugin may take to end after the `Shutdown` call; 2 s by default.
    #[must_use]
    pub const fn with_stop_within(mut self, stop_within: Duration) -> Self {
        self.stop_within = stop_within;
        self
    }

    /// Where the plugin listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The app protocol version that it speaks.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it belongs to a test.
    #[must_use]
    pub const fn is_in_test_mode(&self) -> bool {
        self.is_tested
    }

    /// Looks whether the process runs and lets itself be connected to.
    ///
    /// The instance is as one that was launched, but for its end: dropped, it leaves the plugin running;
    /// stopped, the plugin is ended but not its process group; how it ended is told to its parent only.
    /// What it writes to the stderr that it was started with is its parent's too; what it prints is
    /// fetched where it has a stdio service, and taken from another host that does so.
    ///
    /// # Errors
    /// If there is no such process, or it cannot be connected to.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn attach(&self) -> Result<Instance, ConnectError> {
        let connector = Connector::new(self.address.clone(), None, self.connect_within);
        let (process, watching) = Attached::new(self.pid, self.is_tested).map_err(|error| {
            let failure = ConnectFailure::Process {
                pid: self.pid,
                error,
            };
            ConnectError::new(failure, self.address.to_string())
        })?;
        drop(connector.clone().oneshot(()).await?);
        let plugin: Arc<str> = format!("pid {}", self.pid).into();
        let mut tasks = JoinSet::new();
        tasks.spawn(watching);
        let tail = Tail::default();
        // Without a sender: there is no stderr to wait for.
        let (_, stderr_read) = watch::channel(());
        tracing::info!(%plugin, version = self.version, "plugin attached");
        let broker = HostBroker::new(Means {
            place: match &self.address {
                Address::Unix(path) => Place::Unix {
                    // Which the plugin can reach.
                    dir: path
                        .parent()
                        .map_or_else(std::env::temp_dir, Path::to_owned),
                    group: None,
                },
                Address::Tcp(_) => Place::Tcp(0..=0),
            },
            tls: None,
            // What the plugin leaves is for who has started it to remove.
            strays: None,
            over: None,
        });
        Ok(Instance {
            broker,
            process: Running::Attached(process),
            files: None,
            stdio: HostStdio::new(Arc::clone(&plugin), Writers::default(), tail.clone()),
            output: ForwardedOutput {
                tail,
                stderr_read,
                tasks,
            },
            plugin,
            version: self.version,
            connector,
            multiplexed: false,
            channel: OnceCell::new(),
            connect_within: self.connect_within,
            stop_within: self.stop_within,
        })
    }
}
