//! What holds for any tower service.

use std::time::Duration;

use http::{Request, Response};
use mainstay_request_context::{
    ClientContext, ClientContextLayer, Id, InFlight, RequestContext, ServerContext,
    ServerContextLayer, future::ResponseFuture,
};
use tower::{Layer, Service};
use tower_test::{assert_request_eq, mock};

type Mock = mock::Mock<&'static str, &'static str>;

/// Takes the body, which can be compared.
#[derive(Clone)]
struct Body(Mock);

impl Service<Request<&'static str>> for Body {
    type Response = <Mock as Service<&'static str>>::Response;
    type Error = <Mock as Service<&'static str>>::Error;
    type Future = <Mock as Service<&'static str>>::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        self.0.call(request.into_body())
    }
}

#[test]
fn is_send_and_sync() {
    fn check<T: Clone + Send + Sync + std::fmt::Debug>() {}
    check::<ServerContextLayer>();
    check::<ClientContextLayer>();
    check::<ServerContext<()>>();
    check::<ClientContext<()>>();
    check::<RequestContext>();
    check::<Id>();
    check::<InFlight>();
    fn check_future<T: Send + Sync + std::fmt::Debug>() {}
    check_future::<ResponseFuture<std::future::Ready<()>>>();
    let _: Option<Response<()>> = None;
}

#[tokio::test]
async fn forwards_readiness() {
    let layer = tower::layer::layer_fn(|it| ServerContextLayer::new().layer(Body(it)));
    let (mut service, mut handle) = mock::spawn_layer::<&str, &str, _>(layer);
    handle.allow(0);
    tokio_test::assert_pending!(service.poll_ready::<Request<&'static str>>());
    handle.allow(1);
    assert!(service.is_woken());
    tokio_test::assert_ready_ok!(service.poll_ready::<Request<&'static str>>());
    let mut call = tokio_test::task::spawn(service.call(Request::new("hello")));
    assert_request_eq!(handle, "hello").send_response("world");
    assert_eq!(tokio_test::assert_ready_ok!(call.poll()), "world");
}

/// The mock panics when it is called without that.
#[tokio::test]
async fn calls_only_what_it_readied() {
    let (mock, mut handle) = mock::pair();
    let mut one = ClientContextLayer::new().layer(ServerContextLayer::new().layer(Body(mock)));
    let mut two = one.clone();
    for service in [&mut one, &mut two] {
        std::future::poll_fn(|cx| service.poll_ready(cx))
            .await
            .unwrap();
        let call = service.call(Request::new("hello"));
        assert_request_eq!(handle, "hello").send_response("world");
        assert_eq!(call.await.unwrap(), "world");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    let in_flight = InFlight::new();
    let (mock, mut handle) = mock::pair();
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_default_timeout(Duration::from_secs(1));
    let mut service = layer.layer(Body(mock));
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .unwrap();
    drop(service.call(Request::new("hello")));
    let (_, answer) = handle.next_request().await.unwrap();
    answer.send_response("nobody waits");
    assert!(in_flight.is_empty());
    assert!(RequestContext::current().is_none());
}

#[tokio::test]
async fn errors_are_passed_on_as_they_are() {
    let fail = |_: Request<()>| async { Err::<(), _>(7_u8) };
    let mut service =
        ServerContextLayer::new().layer(ClientContextLayer::new().layer(tower::service_fn(fail)));
    assert_eq!(service.call(Request::new(())).await, Err(7));
}
