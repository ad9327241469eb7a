use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Request;
use mainstay_conn_pool as pool;
use mainstay_plugin::{Exit, Instance};
use tokio::runtime::Handle;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower_service::Service;

use super::roster::Entry;
use crate::connection::{Call, Connection};

/// A process of the plugin, with the connection to it. It is of use for as long as that lasts.
///
/// Clones are the same process, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Running {
    connection: Connection,
    process: Arc<Process>,
}

#[derive(Debug)]
struct Process {
    /// Until it is told to end.
    instance: Mutex<Option<Entered>>,
}

/// A process that is in the roster until it has ended.
#[derive(Debug)]
struct Entered {
    // First: fields are dropped in this order.
    instance: Instance,
    entry: Entry,
}

/// What the health service of a plugin answers for, in go-plugin.
const HEALTH_SERVICE: &str = "plugin";

/// The plugin says that it does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotServing;

impl Running {
    pub(super) fn new(connection: Connection, instance: Instance, entry: Entry) -> Self {
        Self {
            connection,
            process: Arc::new(Process {
                instance: Mutex::new(Some(Entered { instance, entry })),
            }),
        }
    }

    /// Whether it answers, whatever that is, but that it does not serve.
    pub(super) async fn check(connection: &Connection) -> Result<(), BoxError> {
        let service = HEALTH_SERVICE.to_owned();
        let request = HealthCheckRequest { service };
        match HealthClient::new(connection.clone()).check(request).await {
            Ok(answer) if answer.get_ref().status() == ServingStatus::NotServing => {
                Err(NotServing.into())
            }
            // An answer of the plugin has no cause on this side.
            Err(status) if std::error::Error::source(&status).is_some() => Err(status.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn take(&self) -> Option<Entered> {
        let instance = &self.process.instance;
        instance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl pool::Connection for Running {
    fn is_broken(&self) -> bool {
        self.connection.is_closed()
    }

    /// The streams of a connection do not get into each other's way.
    fn is_reusable(&self) -> bool {
        true
    }

    async fn check_shared(&self) -> Result<(), BoxError> {
        Self::check(&self.connection).await
    }

    async fn close(self) {
        let Some(Entered { instance, entry }) = self.take() else {
            return;
        };
        let pid = instance.pid();
        match instance.stop().await {
            Ok(stopped) => tell(pid, stopped.exit()),
            Err(error) => tracing::error!(
                pid,
                error = &error as &dyn std::error::Error,
                "plugin runs on"
            ),
        }
        drop(entry);
    }

    /// Ends the process, and with it all its calls.
    fn abort(&self) {
        let Some(entered) = self.take() else { return };
        let pid = entered.instance.pid();
        tracing::warn!(pid, "plugin is killed, since its calls did not end in time");
        // It waits for the end of the process, if only for a moment.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(entered))),
            Err(_) => drop(entered),
        }
    }
}

/// The one line that says what became of a process.
fn tell(pid: u32, exit: &Exit) {
    let status = exit.status();
    if status.is_some_and(|it| it.success()) {
        tracing::info!(pid, "plugin ended");
    } else {
        let status = status.map(|it| it.to_string());
        let stderr = exit.stderr().join("\n");
        tracing::warn!(pid, status, stderr, "plugin died");
    }
}

impl Service<Request<Body>> for Running {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = BoxError;
    type Future = Call;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connection.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Call {
        self.connection.call(request)
    }
}

impl fmt::Display for NotServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin says that it does not serve")
    }
}

impl std::error::Error for NotServing {}
