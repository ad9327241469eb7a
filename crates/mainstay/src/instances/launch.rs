use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_plugin::Launcher;
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
    pub(super) check_within: Duration,
    pub(super) roster: Roster,
}

impl Launch {
    /// One that has answered a health check.
    async fn run(self) -> Result<Running, BoxError> {
        let instance = self.launcher.launch().await?;
        let connection = Connection::to_plugin(instance.connector()).await?;
        let checked = timeout(self.check_within, Running::check(&connection)).await;
        checked.unwrap_or_else(|elapsed| Err(elapsed.into()))?;
        let pid = instance.pid();
        tracing::info!(pid, "plugin runs");
        Ok(Running::new(connection, instance, self.roster.enter(pid)))
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
