//! What a request allocates: its context.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use mainstay_request_context::{
    ClientContextLayer, InFlight, RequestContext, ServerContextLayer, remaining,
};
use tower::{Layer, Service};

#[test]
fn a_request_that_brings_an_id_allocates_its_context_and_nothing_else() {
    let mut requests = requests(1_000);
    let warm = requests.split_off(900);
    let layer = ServerContextLayer::new().with_in_flight(InFlight::new());
    let mut service = layer.layer(Hello);
    // A thread's first call may set something up for it.
    warm.into_iter().for_each(|it| call(&mut service, it));
    let allocated = measure(|| requests.into_iter().for_each(|it| call(&mut service, it)));
    assert_eq!(allocated.count_total, 900);
}

#[test]
fn an_id_that_is_made_is_no_further_allocation() {
    let requests: Vec<_> = (0..100).map(|_| Request::new(())).collect();
    let mut service = ServerContextLayer::new().layer(Hello);
    call(&mut service, Request::new(()));
    let allocated = measure(|| requests.into_iter().for_each(|it| call(&mut service, it)));
    assert_eq!(allocated.count_total, 100);
}

/// Beside its context, two values of headers, and room for them where the request has none.
#[test]
fn an_outgoing_request_allocates_what_it_says() {
    let request = || {
        let mut request = Request::new(());
        *request.headers_mut() = HeaderMap::with_capacity(16);
        let timeout = HeaderValue::from_static("1S");
        request.headers_mut().insert("grpc-timeout", timeout);
        request
    };
    let requests: Vec<_> = (0..100).map(|_| request()).collect();
    let mut service = ClientContextLayer::new().layer(Hello);
    call(&mut service, Request::new(()));
    let allocated = measure(|| requests.into_iter().for_each(|it| call(&mut service, it)));
    assert_eq!(allocated.count_total, 300);
}

/// Whether the last handle goes first or the last request.
#[test]
fn what_knows_those_in_flight_is_used_again() {
    let round = || {
        let layer = ServerContextLayer::new().with_in_flight(InFlight::new());
        let mut service = layer.layer(Hello);
        let response = service.call(Request::new(()));
        drop((layer, service));
        drop(response);
        drop(InFlight::new());
    };
    round();
    let allocated = measure(|| (0..100).for_each(|_| round()));
    // Other tests may have taken some meanwhile.
    assert!(allocated.bytes_current < 10_000, "{allocated:?}");
}

#[test]
fn reading_a_context_allocates_nothing() {
    let layer = ServerContextLayer::new();
    let mut service = layer.layer(tower::service_fn(|_: Request<()>| {
        let allocated = measure(|| {
            let context = RequestContext::current().unwrap();
            assert_eq!(
                context.id().as_str(),
                "0195f7a2-0000-7000-8000-000000000000"
            );
            assert!(remaining().is_some());
        });
        assert_eq!(allocated.count_total, 0);
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    requests(2)
        .into_iter()
        .for_each(|it| call(&mut service, it));
}

fn requests(number: usize) -> Vec<Request<()>> {
    let request = || {
        let mut request = Request::new(());
        let mut add = |name, value: &str| {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value.parse().unwrap());
        };
        add("x-request-id", "0195f7a2-0000-7000-8000-000000000000");
        add("x-client-id", "web");
        add("grpc-timeout", "10S");
        add(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
        add("content-type", "application/grpc");
        *request.uri_mut() = "http://localhost/proto.KV/Get".parse().unwrap();
        request
    };
    (0..number).map(|_| request()).collect()
}

fn call<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut response = pin!(service.call(request));
    assert!(response.as_mut().poll(&mut cx).is_ready());
}

#[derive(Clone)]
struct Hello;

impl Service<Request<()>> for Hello {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
