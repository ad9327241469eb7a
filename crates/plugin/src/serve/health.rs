use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The name under which hosts ask for a plugin's health; the empty one means the whole server.
pub(crate) const SERVICE: &str = "plugin";

/// `grpc.health.v1.Health`: one status for the whole plugin.
///
/// Not tonic-health's own service, because its watches would hold up the drain: these end when the
/// sender of the status is dropped.
#[derive(Debug)]
pub(crate) struct PluginHealth(pub(crate) watch::Receiver<ServingStatus>);

#[tonic::async_trait]
impl Health for PluginHealth {
    type WatchStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            return Err(Status::not_found(format!(
                "no service {service:?}: ask for \"plugin\""
            )));
        }
        let status = *self.0.borrow();
        Ok(Response::new(answer(status)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.into_inner().service);
        let statuses = WatchStream::new(self.0.clone()).map(move |status| {
            Ok(answer(if known {
                status
            } else {
                ServingStatus::ServiceUnknown
            }))
        });
        Ok(Response::new(Box::pin(statuses)))
    }
}

fn is_known(service: &str) -> bool {
    matches!(service, "" | SERVICE)
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
