use std::net::SocketAddr;

use http::Extensions;

/// Finds where a connection comes from in the extensions of its request, where servers put it.
pub trait FindPeer {
    /// The address; `None` if it is not there, or the connection has none.
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr>;
}

impl<F: Fn(&Extensions) -> Option<SocketAddr>> FindPeer for F {
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        self(extensions)
    }
}

/// Takes a [`SocketAddr`] from the extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainPeer;

impl FindPeer for PlainPeer {
    fn find_peer(&self, extensions: &Extensions) -> Option<SocketAddr> {
        extensions.get().copied()
    }
}
