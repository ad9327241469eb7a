use std::net::SocketAddr;

use http::Extensions;
use mainstay_request_context::FindPeer;
use tonic::transport::server::TcpConnectInfo;

/// Finds where a connection comes from as tonic's servers tell it, without TLS: in a [`TcpConnectInfo`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TonicPeer;

impl FindPeer for TonicPeer {
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        extensions.get::<TcpConnectInfo>()?.remote_addr()
    }
}
