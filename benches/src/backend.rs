//! The service at the bottom of every row.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll},
};

use tower_service::Service;

/// Answers a number with itself, at once; one of so many requests fails, and none if that is zero.
#[derive(Clone, Copy)]
pub struct Backend<const ONE_IN: u64>;

/// Its error. It has a size, so that a layer which boxes errors pays for the box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failed(pub u64);

impl<const ONE_IN: u64> Backend<ONE_IN> {
    /// What a request will come to.
    ///
    /// # Errors
    ///
    /// The last of every `ONE_IN` requests fails.
    // Not inlined: what a real service does is not merged with the layers above it either.
    #[inline(never)]
    pub fn answer(self, request: u64) -> Result<u64, Failed> {
        let request = black_box(request);
        if ONE_IN != 0 && request % ONE_IN == ONE_IN - 1 {
            Err(Failed(request))
        } else {
            Ok(request)
        }
    }
}

impl<const ONE_IN: u64> Service<u64> for Backend<ONE_IN> {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(self.answer(request))
    }
}

#[cfg(feature = "peers")]
impl<const ONE_IN: u64> layered::Service<u64> for Backend<ONE_IN> {
    type Out = Result<u64, Failed>;

    async fn execute(&self, request: u64) -> Self::Out {
        self.answer(request)
    }
}

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "request {} failed", self.0)
    }
}

impl Error for Failed {}

#[cfg(test)]
mod tests;
