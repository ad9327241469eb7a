use std::convert::Infallible;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service;

use crate::mux::Over;

/// What this crate answers itself.
const PROTOCOL: [&str; 4] = [
    "/grpc.health.v1.Health/",
    "/plugin.GRPCBroker/",
    "/plugin.GRPCController/",
    "/plugin.GRPCStdio/",
];

/// The plugin's services, and in front of them those of the protocol.
///
/// Two routers and not one, since one refuses, by a panic, a plugin's own health service.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    protocol: Routes,
    plugin: Routes,
    /// What the connection is a stream of.
    over: Option<Over>,
}

impl Services {
    pub(crate) fn new(protocol: Routes, plugin: Routes) -> Self {
        Self {
            protocol: protocol.prepare(),
            plugin: plugin.prepare(),
            over: None,
        }
    }

    /// The same for what comes over the streams of a connection, which the broker is told.
    pub(crate) fn over(&self, over: Over) -> Self {
        Self {
            over: Some(over),
            ..self.clone()
        }
    }
}

impl Service<Request<Incoming>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Routes as Service<Request<Incoming>>>::Future;

    /// As routers are: always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        if PROTOCOL.iter().any(|service| path.starts_with(service)) {
            if let Some(over) = &self.over {
                request.extensions_mut().insert(over.clone());
            }
            self.protocol.call(request)
        } else {
            self.plugin.call(request)
        }
    }
}
