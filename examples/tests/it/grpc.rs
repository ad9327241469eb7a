use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

/// `plugin.Empty`.
#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

/// A channel over this one connection; it does not connect again.
pub(crate) async fn channel_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(TokioIo::new(stream));
    let connect = tower::service_fn(move |_| {
        std::future::ready(
            stream
                .take()
                .ok_or(io::Error::from(io::ErrorKind::NotConnected)),
        )
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connect)
        .await
}

pub(crate) async fn health(channel: Channel, service: &str) -> Result<ServingStatus, Status> {
    let service = service.to_owned();
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest { service })
        .await?;
    Ok(answer.into_inner().status())
}

/// `plugin.GRPCController/Shutdown`, as hosts call it to end their plugin.
pub(crate) async fn shutdown(channel: Channel) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/plugin.GRPCController/Shutdown");
    let codec = ProstCodec::<Empty, Empty>::default();
    grpc.unary(tonic::Request::new(Empty {}), path, codec)
        .await?;
    Ok(())
}
