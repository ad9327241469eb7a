use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Output;
use crate::generated::StdioData;
use crate::generated::grpc_stdio_server::GrpcStdio;

/// `plugin.GRPCStdio`: what the process prints, for its host.
///
/// Upstream's may be called once. Here a later call takes over, as that of a host whose connection was
/// lost must.
#[derive(Debug)]
pub(crate) struct StdioService(pub(crate) Option<Arc<Output>>);

#[tonic::async_trait]
impl GrpcStdio for StdioService {
    type StreamStdioStream = ReceiverStream<Result<StdioData, Status>>;

    async fn stream_stdio(
        &self,
        _request: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        let Some(output) = self.0.clone() else {
            // The code by which hosts know that they need not ask.
            return Err(Status::unimplemented(
                "this plugin keeps its own stdout and stderr",
            ));
        };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(output.stream(sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
