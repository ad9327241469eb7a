//! What an application adds to the contexts that a layer makes.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http::{Extensions, HeaderMap, Request};
use mainstay_request_context::{Id, InFlight, RequestContext, ServerContextLayer};
use tokio::task::yield_now;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt, service_fn};

#[derive(Clone, Debug, PartialEq)]
struct Tenant(String);

/// What authentication has found, and put among the extensions.
#[derive(Clone)]
struct User(&'static str);

fn tenant(context: RequestContext, headers: &HeaderMap, _: &Extensions) -> RequestContext {
    match headers.get("x-tenant").and_then(|it| it.to_str().ok()) {
        Some(tenant) => context.with_field(Tenant(tenant.to_owned())),
        None => context,
    }
}

fn request(id: &str, tenant: &str) -> Request<()> {
    Request::builder()
        .header("x-request-id", id)
        .header("x-tenant", tenant)
        .body(())
        .unwrap()
}

#[tokio::test]
async fn fields_from_the_headers_are_read_below_and_belong_to_their_request() {
    let service = service_fn(|_: Request<()>| {
        let in_call = RequestContext::current().unwrap();
        async move {
            yield_now().await;
            let later = RequestContext::current().unwrap();
            let both = [in_call, later].map(|it| it.field::<Tenant>().cloned());
            Ok::<_, Infallible>(both)
        }
    });
    let mut service = ServerContextLayer::new().with_fields(tenant).layer(service);
    let (red, blue) = (request("a", "red"), request("b", "blue"));
    let (red, blue) = tokio::join!(service.call(red), service.call(blue));
    let some = |it: &str| Some(Tenant(it.to_owned()));
    assert_eq!(red.unwrap(), [some("red"), some("red")]);
    assert_eq!(blue.unwrap(), [some("blue"), some("blue")]);
    assert_eq!(
        service.oneshot(Request::new(())).await.unwrap(),
        [None, None]
    );
}

#[tokio::test]
async fn a_client_that_is_proved_stands_among_those_in_flight() {
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_fields(|context, _, extensions| match extensions.get() {
            Some(User(name)) => context.with_client(Id::new(name).unwrap()),
            None => context,
        });
    let never = |_: Request<()>| std::future::pending::<Result<(), Infallible>>();
    let mut request = request("a", "red");
    let claims = "root".parse().unwrap();
    request.headers_mut().insert("x-client-id", claims);
    request.extensions_mut().insert(User("alice"));
    let mut call = task::spawn(layer.layer(service_fn(never)).call(request));
    assert_pending!(call.poll());
    let context = &in_flight.snapshot()[0].context;
    assert_eq!(context.client().unwrap().as_str(), "alice");
    assert_eq!(context.id().as_str(), "a");
}

#[test]
fn a_panic_while_fields_are_added_calls_nobody_and_leaves_nothing() {
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_fields(|_, _, _| panic!("as it was told"));
    let mut service = layer.layer(service_fn(|_: Request<()>| async {
        unreachable!("it is not called");
        #[expect(unreachable_code)]
        Ok::<_, Infallible>(())
    }));
    let call = AssertUnwindSafe(|| drop(service.call(request("a", "red"))));
    assert!(catch_unwind(call).is_err());
    assert!(in_flight.is_empty());
    assert!(RequestContext::current().is_none());
}

/// In whatever order the layer is told.
#[tokio::test]
async fn a_peer_that_is_found_another_way_and_fields_go_together() {
    let peer = "10.1.2.3:4567".parse().unwrap();
    let see = |_: Request<()>| async { Ok::<_, Infallible>(RequestContext::current().unwrap()) };
    let first = ServerContextLayer::new()
        .with_fields(tenant)
        .with_peer(move |_: &Extensions| Some(peer));
    let second = ServerContextLayer::new()
        .with_peer(move |_: &Extensions| Some(peer))
        .with_fields(tenant);
    let seen = [
        first
            .layer(service_fn(see))
            .oneshot(request("a", "red"))
            .await,
        second
            .layer(service_fn(see))
            .oneshot(request("a", "red"))
            .await,
    ];
    for context in seen.map(Result::unwrap) {
        assert_eq!(context.peer(), Some(peer));
        assert_eq!(context.field(), Some(&Tenant("red".to_owned())));
    }
}
