//! Code of users that panics, or comes back to the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::join_all;
use mainstay_conn_pool::{AcquireError, ConnectAborted, Limits, PoolLayer};
use tokio::time::sleep;
use tower::{Layer, Service};

use crate::support::{Backend, Conn, Refused, n, s};

/// A connector whose `Clone` panics when it is told to.
struct Fragile {
    panics: Arc<AtomicBool>,
    backend: Backend,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.panics.load(Ordering::Relaxed), "as a test wants it");
        Self {
            panics: self.panics.clone(),
            backend: self.backend.clone(),
        }
    }
}

impl Service<()> for Fragile {
    type Response = Conn;
    type Error = Refused;
    type Future = <Backend as Service<()>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Service::<()>::poll_ready(&mut self.backend, cx)
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.backend.call(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_clone_of_a_connector_is_a_failure_to_connect() {
    let panics = Arc::new(AtomicBool::new(true));
    let connector = Fragile {
        panics: panics.clone(),
        backend: Backend::default(),
    };
    let pool = PoolLayer::new(Limits::new(n(3))).layer(connector);
    for outcome in join_all((0..3).map(|_| pool.acquire())).await {
        let Err(AcquireError::BackendDown(error)) = outcome else {
            panic!("not down")
        };
        let cause = std::error::Error::source(&error).unwrap();
        assert!(cause.is::<ConnectAborted>());
    }
    assert_eq!(pool.snapshot().sizes, Default::default());
    panics.store(false, Ordering::Relaxed);
    sleep(s(10)).await;
    drop(pool.acquire().await.unwrap());
    pool.drain(s(5)).await.unwrap();
}
