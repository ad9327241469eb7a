use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use mainstay_plugin::{Instance, Launcher, StoppedBy};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt as _};

use crate::BoxError;
use crate::display::Display;
use crate::stats::{Stats, millis};

/// Keeps one instance of the plugin running.
#[derive(Debug)]
pub(crate) struct Supervisor {
    launcher: Launcher,
    instance: Option<Instance>,
    running: watch::Sender<Option<Running>>,
}

/// The plugin as its callers see it: a service that leads to the instance that runs just now.
#[derive(Clone, Debug)]
pub(crate) struct Instances(watch::Receiver<Option<Running>>);

#[derive(Clone, Debug)]
struct Running {
    pid: u32,
    channel: Channel,
}

impl Supervisor {
    pub(crate) fn new(launcher: Launcher) -> Self {
        Self {
            launcher,
            instance: None,
            running: watch::Sender::new(None),
        }
    }

    pub(crate) fn instances(&self) -> Instances {
        Instances(self.running.subscribe())
    }

    /// Starts the plugin, and starts it again whenever it has ended.
    ///
    /// # Errors
    /// If it cannot be started.
    ///
    /// # Cancel safety
    /// Dropped, it leaves an instance that runs to [`stop`](Self::stop), and ends one that starts.
    pub(crate) async fn run(
        &mut self,
        stats: &Stats,
        display: &Display,
    ) -> Result<Infallible, BoxError> {
        let (pid, took) = self.start().await?;
        display.line(&format!("plugin started in {}, pid {pid}", millis(took)));
        loop {
            self.ended().await;
            let (pid, took) = self.start().await?;
            stats.restarted(took);
            display.line(&format!(
                "plugin started again in {}, pid {pid}",
                millis(took)
            ));
        }
    }

    async fn start(&mut self) -> Result<(u32, Duration), BoxError> {
        let begun = Instant::now();
        let instance = self.launcher.launch().await?;
        let (pid, channel) = (instance.pid(), instance.connect().await?);
        self.instance = Some(instance);
        self.running.send_replace(Some(Running { pid, channel }));
        Ok((pid, begun.elapsed()))
    }

    async fn ended(&mut self) {
        if let Some(instance) = &self.instance {
            instance.exited().await;
        }
        self.running.send_replace(None);
        self.instance = None;
    }

    /// Ends the plugin, if it runs.
    pub(crate) async fn stop(self, display: &Display) -> Result<(), BoxError> {
        let Some(instance) = self.instance else {
            return Ok(());
        };
        let pid = instance.pid();
        match instance.stop().await?.by() {
            StoppedBy::Shutdown => {
                display.line(&format!("plugin stopped, pid {pid}"));
                Ok(())
            }
            StoppedBy::Itself => Ok(()),
            by => Err(format!("plugin did not stop when asked to, pid {pid}: {by:?}").into()),
        }
    }
}

impl Instances {
    /// The process that runs; none while the plugin is being started.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.borrow().as_ref().map(|running| running.pid)
    }

    /// Resolves when another process runs than the one that was `met`.
    pub(crate) async fn other_than(&self, met: Option<u32>) {
        let mut running = self.0.clone();
        let other = |running: &Option<Running>| {
            let pid = running.as_ref().map(|running| running.pid);
            pid.is_some() && pid != met
        };
        if running.wait_for(other).await.is_err() {
            // Without a supervisor there will never be one.
            std::future::pending().await
        }
    }
}

impl Service<Request<Body>> for Instances {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let running = self.0.borrow().clone();
        Box::pin(async move {
            let running = running.ok_or_else(|| Status::unavailable("no plugin runs"))?;
            Ok(running.channel.oneshot(request).await?)
        })
    }
}
