//! Bodies that end badly.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use mainstay_conn_pool::{CloseReason, Connection, Limits, PoolLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::n;

/// A connection whose responses break off.
struct Flaky;

/// Fails, and then says that it has ended.
struct BrokenOff(bool);

impl Connection for Flaky {}

impl Service<()> for Flaky {
    type Response = Response<BrokenOff>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(Response::new(BrokenOff(false))))
    }
}

impl Body for BrokenOff {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0 = true;
        Poll::Ready(Some(Err("broken off")))
    }

    fn is_end_stream(&self) -> bool {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_body_broke_off_is_not_lent_again() {
    let connector = service_fn(async |()| Ok::<_, Infallible>(Flaky));
    let pool = PoolLayer::new(Limits::new(n(1))).layer(connector);
    let response = pool.dispatch().until_read().oneshot(()).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), "broken off");
    assert_eq!(pool.snapshot().closed(CloseReason::Broken), 1);
}
