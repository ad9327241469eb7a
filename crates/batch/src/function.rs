use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

/// A closure as a service that is always ready.
#[derive(Clone, Copy)]
pub struct Function<F>(F);

impl<F> Function<F> {
    pub(crate) const fn new(f: F) -> Self {
        Self(f)
    }
}

impl<F, T, Fut, R, E> Service<T> for Function<F>
where
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<R, E>>,
{
    type Response = R;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, item: T) -> Fut {
        (self.0)(item)
    }
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}
