use std::{
    fmt,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::task::JoinHandle;
use tower_service::Service;

/// A service each of whose calls is a task of its own.
#[derive(Clone, Debug)]
pub struct Spawned<S>(S);

/// The answer of a task, which is aborted when this is dropped.
pub struct SpawnedFuture<T>(JoinHandle<T>);

impl<S> Spawned<S> {
    pub(crate) const fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S, T> Service<T> for Spawned<S>
where
    S: Service<T>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SpawnedFuture<Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, item: T) -> Self::Future {
        SpawnedFuture(tokio::spawn(self.0.call(item)))
    }
}

impl<T> Future for SpawnedFuture<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            Err(error) => match error.try_into_panic() {
                // As if it had run here: the map confines it to the item.
                Ok(panic) => resume_unwind(panic),
                Err(_) => panic!("the runtime of the item has shut down"),
            },
        }
    }
}

impl<T> Drop for SpawnedFuture<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> fmt::Debug for SpawnedFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpawnedFuture")
    }
}
