use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Broker, Means};
use crate::generated::ConnInfo;
use crate::generated::grpc_broker_server::GrpcBroker;

/// `plugin.GRPCBroker`: by its one call the host opens the stream.
///
/// A second call takes the place of the first: of a host that connects again the plugin may not have
/// noticed yet that its first connection is gone.
#[derive(Debug)]
pub(crate) struct BrokerService {
    pub(crate) broker: Broker,
    pub(crate) means: Means,
}

#[tonic::async_trait]
impl GrpcBroker for BrokerService {
    type StartStreamStream = Pin<Box<dyn Stream<Item = Result<ConnInfo, Status>> + Send>>;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let mut means = self.means.clone();
        means.over = request.extensions().get().cloned();
        let (link, outgoing) = self.broker.open(means);
        let incoming = request.into_inner();
        let broker = self.broker.clone();
        // Ends with `outgoing`, which the connection holds.
        self.broker.spawn(async move {
            let why = link.run(incoming).await;
            broker.ended(&link, &why);
        });
        Ok(Response::new(Box::pin(outgoing.map(Ok))))
    }
}
