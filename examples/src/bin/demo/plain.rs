use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mainstay_plugin::{Instance, Launcher};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::Channel;
use tower::util::BoxCloneService;
use tower::{ServiceExt as _, service_fn};

use crate::BoxError;
use crate::host::{Client, Host, INSTANCES, Snapshot};

/// The plugin with nothing around it but that it is started again when it has ended. Its callers are
/// divided among its processes.
#[derive(Debug)]
pub(crate) struct Plain {
    running: Vec<watch::Receiver<Option<Running>>>,
    restarts: Arc<AtomicU64>,
    supervisors: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Running {
    pid: u32,
    since: Instant,
    channel: Channel,
}

impl Plain {
    /// # Errors
    /// If the plugin cannot be started.
    pub(crate) async fn start(launcher: Launcher) -> Result<Self, BoxError> {
        let launcher = Arc::new(launcher);
        let mut plain = Self {
            running: Vec::new(),
            restarts: Arc::default(),
            supervisors: JoinSet::new(),
        };
        for _ in 0..INSTANCES.get() {
            let (instance, running) = launch(&launcher).await?;
            let (sender, receiver) = watch::channel(Some(running));
            plain.running.push(receiver);
            let (launcher, restarts) = (launcher.clone(), plain.restarts.clone());
            plain.supervisors.spawn(async move {
                let mut instance = instance;
                loop {
                    instance.exited().await;
                    sender.send_replace(None);
                    instance = relaunch(&launcher, &sender).await;
                    restarts.fetch_add(1, Relaxed);
                }
            });
        }
        Ok(plain)
    }

    pub(crate) async fn stop(mut self) {
        // The processes end with those who have them.
        self.supervisors.shutdown().await;
    }
}

impl Host for Plain {
    fn client(&self, caller: u16) -> Client {
        let running = self.running[usize::from(caller) % self.running.len()].clone();
        Client::new(BoxCloneService::new(service_fn(move |request| {
            let channel = running.borrow().as_ref().map(|it| it.channel.clone());
            async move {
                let channel = channel.ok_or_else(|| Status::unavailable("no plugin runs"))?;
                let answer = channel.oneshot(request).await;
                answer.map_err(|error| Status::from_error(error.into()))
            }
        })))
    }

    fn snapshot(&self) -> Snapshot {
        let running = self.running.iter().filter_map(|it| it.borrow().clone());
        let mut running: Vec<_> = running.map(|it| (it.since, it.pid)).collect();
        running.sort_unstable();
        Snapshot {
            pids: running.into_iter().map(|(_, pid)| pid).collect(),
            restarts: self.restarts.load(Relaxed),
            attempts_per_call: 1.0,
            circuit: None,
        }
    }
}

async fn launch(launcher: &Launcher) -> Result<(Instance, Running), BoxError> {
    let instance = launcher.launch().await?;
    let running = Running {
        pid: instance.pid(),
        since: Instant::now(),
        channel: instance.connect().await?,
    };
    Ok((instance, running))
}

async fn relaunch(launcher: &Launcher, running: &watch::Sender<Option<Running>>) -> Instance {
    loop {
        match launch(launcher).await {
            Ok((instance, started)) => {
                running.send_replace(Some(started));
                return instance;
            }
            Err(error) => {
                tracing::warn!(%error, "plugin is not started again");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
