use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_plugin::{Instance, Launcher};
use tokio::time::timeout;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use super::roster::Roster;
use super::running::Running;
use crate::connection::Connection;

/// Starts processes of a plugin, and connects to them: the connector of the pool that they are.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) launcher: Arc<Launcher>,
    pub(super) within: Duration,
    pub(super) roster: Roster,
}

/// An instance of a plugin was launched, and did not come so far that it could be called.
#[derive(Debug)]
pub struct NotCallable {
    pid: u32,
    why: Why,
    status: Option<ExitStatus>,
    stderr: Vec<String>,
}

#[derive(Debug)]
enum Why {
    TooLate(Duration),
    Failed(BoxError),
}

/// No line of the handshake came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NotLaunched(Duration);

/// Commonly a connection is lost a little before the process has ended that tells why.
const EXIT_WITHIN: Duration = Duration::from_millis(200);

impl Launch {
    /// One that has answered a health check.
    async fn run(self) -> Result<Running, BoxError> {
        let launched = timeout(self.within, self.launcher.launch()).await;
        let instance = launched.map_err(|_| NotLaunched(self.within))??;
        let connecting = async {
            let connection = Connection::to_plugin(instance.connector()).await?;
            Running::check(&connection).await?;
            Ok::<_, BoxError>(connection)
        };
        let why = match timeout(self.within, connecting).await {
            Ok(Ok(connection)) => {
                let pid = instance.pid();
                tracing::info!(pid, "plugin runs");
                return Ok(Running::new(connection, instance, self.roster.enter(pid)));
            }
            Ok(Err(error)) => Why::Failed(error),
            Err(_) => Why::TooLate(self.within),
        };
        Err(NotCallable::new(&instance, why).await.into())
    }
}

impl NotCallable {
    async fn new(instance: &Instance, why: Why) -> Self {
        let exit = timeout(EXIT_WITHIN, instance.exited()).await.ok();
        Self {
            pid: instance.pid(),
            why,
            status: exit.as_ref().and_then(|it| it.status()),
            stderr: exit.map_or_else(Vec::new, |it| it.stderr().to_vec()),
        }
    }

    /// What its process was.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// The last lines that it wrote to stderr, if it has ended.
    #[must_use]
    pub fn stderr(&self) -> &[String] {
        &self.stderr
    }
}

impl Service<()> for Launch {
    type Response = Running;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Running, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(self.clone().run())
    }
}

/// In one text, since what it said last explains the rest.
impl fmt::Display for NotCallable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin with pid {} ", self.pid)?;
        match &self.why {
            Why::TooLate(within) => write!(f, "gave no answer within {within:?}")?,
            Why::Failed(_) => f.write_str("could not be asked for its health")?,
        }
        if let Some(status) = self.status {
            write!(f, ", {status}")?;
        }
        if !self.stderr.is_empty() {
            write!(f, ", it said last: {}", self.stderr.join("; "))?;
        }
        Ok(())
    }
}

impl Error for NotCallable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::TooLate(_) => None,
            Why::Failed(error) => Some(&**error),
        }
    }
}

impl fmt::Display for NotLaunched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the plugin has not said where it listens within {:?}",
            self.0
        )
    }
}

impl Error for NotLaunched {}
