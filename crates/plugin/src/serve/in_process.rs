use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;

use super::Serving;
use super::controller::Controller;
use super::environment::Environment;
use super::error::ServeError;
use super::health::PluginHealth;
use super::listener::{Listener, Place};
use super::output::StdioService;
use super::server::Server;
use super::services::Services;
use super::stop::Stop;
use crate::broker::{Broker, BrokerService, Means};
use crate::generated::grpc_broker_server::GrpcBrokerServer;
use crate::generated::grpc_controller_server::GrpcControllerServer;
use crate::generated::grpc_stdio_server::GrpcStdioServer;
use crate::launch::Reattach;

/// A plugin that is [served within this process](super::Plugin::serve_in_process), for a test or a
/// debugger.
///
/// # Drop
/// Ends it at once.
#[derive(Debug)]
pub struct InProcess {
    reattach: Reattach,
    stop: Stop,
    // Aborted with this; it drops the listener, and with that goes the socket file.
    server: JoinHandle<()>,
}

impl InProcess {
    pub(crate) fn start(
        transport: super::Transport,
        version: u32,
        services: Routes,
        broker: Broker,
        drain_within: std::time::Duration,
    ) -> Result<Self, ServeError> {
        let environment = Environment::of_no_host();
        let listener = Listener::bind(transport, &environment)?;
        let means = Means {
            place: Place::new(transport, &environment)?,
            tls: None,
            strays: None,
            over: None,
        };
        let address = listener.address().map_err(ServeError::Announce)?;
        let stop = Stop::new();
        let (health, status) = watch::channel(ServingStatus::Serving);
        let server = Server {
            listener,
            tls: None,
            services: Services::new(
                Routes::new(HealthServer::new(PluginHealth(status)))
                    .add_service(GrpcControllerServer::new(Controller(stop.clone())))
                    .add_service(GrpcStdioServer::new(StdioService(None)))
                    .add_service(GrpcBrokerServer::new(BrokerService {
                        broker: broker.clone(),
                        means,
                    })),
                services,
            ),
            health,
            stop: stop.clone(),
            drain_within,
            multiplexed: None,
        };
        let brokered = Serving(broker);
        let stopping = stop.clone();
        let serving = async move {
            tokio::join!(server.run(), brokered.run(&stopping));
        };
        Ok(Self {
            reattach: Reattach::new(address, version, std::process::id()).in_test_mode(),
            stop,
            server: tokio::spawn(serving),
        })
    }

    /// What a host needs to use it.
    #[must_use]
    pub const fn reattach(&self) -> &Reattach {
        &self.reattach
    }

    /// Ends it, and lets calls under way finish within the plugin's time for that (1.5 s by default).
    ///
    /// # Cancel safety
    /// Dropped, it ends the plugin at once.
    pub async fn stop(mut self) {
        self.stop.drain();
        // An error would mean that a task of ours panicked, which has been told.
        let _ = (&mut self.server).await;
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.server.abort();
    }
}
