use tonic::{Request, Response, Status};

use super::stop::Stop;
use crate::generated::Empty;
use crate::generated::grpc_controller_server::GrpcController;

/// `plugin.GRPCController`: the host's way to end its plugin.
#[derive(Debug)]
pub(crate) struct Controller(pub(crate) Stop);

#[tonic::async_trait]
impl GrpcController for Controller {
    /// Upstream stops its server within the handler, so that its hosts see this call fail; here it
    /// is answered, since the drain lets calls under way finish.
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        // Acts before it logs: stderr may be gone, and a subscriber may hang or panic on that.
        self.0.drain();
        tracing::debug!("shutdown called by the host");
        Ok(Response::new(Empty {}))
    }
}
