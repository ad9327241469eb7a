//! What is passed on.

use std::{convert::Infallible, time::Duration};

use http::{HeaderMap, HeaderName, Request};
use mainstay_request_context::{
    ClientContextLayer, Id, InContext, RequestContext, ServerContextLayer, remaining,
};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context() -> RequestContext {
    RequestContext::new(Id::new("id-1").unwrap())
}

/// What goes out.
async fn sent(layer: &ClientContextLayer, request: Request<()>) -> HeaderMap {
    let echo = |it: Request<()>| async move { Ok::<_, Infallible>(it.headers().clone()) };
    layer
        .layer(service_fn(echo))
        .oneshot(request)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_says_the_id_and_what_is_left_when_it_is_made() {
    let layer =
        ClientContextLayer::new().with_timeout_header(HeaderName::from_static("x-timeout-ms"));
    let calls = async {
        let first = sent(&layer, Request::new(())).await;
        assert_eq!(first["x-request-id"], "id-1");
        assert_eq!(first["grpc-timeout"], "10000000u");
        assert_eq!(first["x-timeout-ms"], "10000");
        assert!(first["grpc-timeout"].is_sensitive());
        advance(Duration::from_nanos(3_000_000_001)).await;
        let second = sent(&layer, Request::new(())).await;
        assert_eq!(second["grpc-timeout"], "6999999u");
        assert_eq!(second["x-timeout-ms"], "6999");
        advance(Duration::from_secs(60)).await;
        assert_eq!(sent(&layer, Request::new(())).await["grpc-timeout"], "0n");
    };
    calls
        .in_context(context().with_timeout(Duration::from_secs(10)))
        .await;
}

#[tokio::test]
async fn a_call_outside_of_any_request_is_given_an_id_and_nothing_else() {
    let headers = sent(&ClientContextLayer::new(), Request::new(())).await;
    assert_eq!(headers.len(), 1);
    Id::new(&headers["x-request-id"]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_requests_own_word_counts_unless_it_is_garbage_or_gives_more_time() {
    let around = context().with_timeout(Duration::from_secs(10));
    for (id, timeout, expected) in [
        ("own", "4S", ("own", "4000000u")),
        ("own", "20S", ("own", "10000000u")),
        ("not an id", "garbage", ("id-1", "10000000u")),
    ] {
        let request = Request::builder()
            .header("x-request-id", id)
            .header("grpc-timeout", timeout)
            .body(())
            .unwrap();
        let layer = ClientContextLayer::new();
        let headers = sent(&layer, request).in_context(around.clone()).await;
        let said = (&headers["x-request-id"], &headers["grpc-timeout"]);
        assert_eq!(
            said,
            (&expected.0.parse().unwrap(), &expected.1.parse().unwrap())
        );
        assert_eq!(headers.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn those_below_read_the_deadline_that_the_request_itself_brings() {
    let see = |_: Request<()>| async { Ok::<_, Infallible>(remaining()) };
    let service = ClientContextLayer::new().layer(service_fn(see));
    let request = Request::builder()
        .header("grpc-timeout", "4S")
        .body(())
        .unwrap();
    let seen = service.oneshot(request).await.unwrap();
    assert_eq!(seen, Some(Duration::from_secs(4)));
}

/// The upper one tells retries the deadline, the lower one says to each attempt what is left.
#[tokio::test(start_paused = true)]
async fn above_and_below_retries_each_attempt_says_what_is_left_then() {
    let echo =
        |it: Request<()>| async move { Ok::<_, Infallible>(it.headers()["grpc-timeout"].clone()) };
    let below = ClientContextLayer::new().layer(service_fn(echo));
    let retries = service_fn(move |request: Request<()>| {
        let mut below = below.clone();
        async move {
            let first = below.call(request.clone()).await?;
            advance(Duration::from_secs(3)).await;
            Ok::<_, Infallible>((first, below.call(request).await?, remaining()))
        }
    });
    let above = ClientContextLayer::new().layer(retries);
    let request = Request::builder()
        .header("grpc-timeout", "10S")
        .body(())
        .unwrap();
    let (first, second, left) = above.oneshot(request).await.unwrap();
    assert_eq!(
        (first.as_bytes(), second.as_bytes()),
        (&b"10000000u"[..], &b"7000000u"[..])
    );
    assert_eq!(left, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_trace_is_passed_on_from_a_server_to_what_it_calls() {
    let call = |_: Request<()>| async {
        Ok::<_, Infallible>(sent(&ClientContextLayer::new(), Request::new(())).await)
    };
    let server = ServerContextLayer::new().layer(service_fn(call));
    let request = Request::builder()
        .header("x-request-id", "id-1")
        .header("traceparent", PARENT)
        .header("tracestate", "a=b")
        .body(())
        .unwrap();
    let headers = server.oneshot(request).await.unwrap();
    assert_eq!(headers["x-request-id"], "id-1");
    assert_eq!(headers["traceparent"], PARENT);
    assert_eq!(headers["tracestate"], "a=b");
    assert_eq!(headers.len(), 3);
}

#[tokio::test]
async fn a_tracer_that_stands_between_has_the_later_word() {
    // Of a version that we would say in the one that we know.
    let theirs = "01-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01-more";
    let call = |_: Request<()>| async move {
        let layer = ClientContextLayer::new();
        let good = Request::builder()
            .header("traceparent", theirs)
            .body(())
            .unwrap();
        let bad = Request::builder()
            .header("traceparent", "bad")
            .body(())
            .unwrap();
        Ok::<_, Infallible>([sent(&layer, good).await, sent(&layer, bad).await])
    };
    let server = ServerContextLayer::new().layer(service_fn(call));
    let request = Request::builder()
        .header("traceparent", PARENT)
        .body(())
        .unwrap();
    let [good, bad] = server.oneshot(request).await.unwrap();
    assert_eq!(good["traceparent"], theirs);
    assert_eq!(bad["traceparent"], PARENT);
}
