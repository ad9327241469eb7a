//! A server to ask over HTTP: it answers `/NAME` with a greeting.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// A server in this process, on a port of its own of the loopback interface, until the runtime ends.
#[derive(Debug)]
pub struct Greeter {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl Greeter {
    /// Starts it. To the first `failures` requests it answers that it is unavailable.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(failures: u32) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU32::new(0));
        let seen = requests.clone();
        let greet = async move |Path(name): Path<String>| {
            if seen.fetch_add(1, Relaxed) < failures {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            Ok(format!("hello {name}"))
        };
        let router = Router::new().route("/{name}", get(greet));
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { address, requests })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }
}
