//! What a server reads from a request.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http::{HeaderName, HeaderValue, Request};
use mainstay_request_context::{FindPeer, RequestContext, ServerContextLayer, deadline, remaining};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt, service_fn};

/// The context that a service sees.
async fn seen<P: FindPeer + Clone>(
    layer: &ServerContextLayer<P>,
    request: Request<()>,
) -> RequestContext {
    let see = |_| async { Ok::<_, Infallible>(RequestContext::current().unwrap()) };
    layer.layer(service_fn(see)).oneshot(request).await.unwrap()
}

fn with(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

async fn seen_with(headers: &[(&str, &str)]) -> RequestContext {
    seen(&ServerContextLayer::new(), with(headers)).await
}

#[tokio::test(start_paused = true)]
async fn what_a_request_says_is_read() {
    let peer: SocketAddr = "10.1.2.3:4567".parse().unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut request = with(&[
        ("x-request-id", "id-1"),
        ("x-client-id", "web"),
        ("grpc-timeout", "1500m"),
        ("traceparent", parent),
    ]);
    request.extensions_mut().insert(peer);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = "/proto.KV/Get?secret=1".parse().unwrap();

    let context = seen(&ServerContextLayer::new(), request).await;
    assert_eq!(context.id().as_str(), "id-1");
    assert_eq!(context.client().unwrap().as_str(), "web");
    assert_eq!(context.peer(), Some(peer));
    assert_eq!(context.remaining(), Some(Duration::from_millis(1_500)));
    assert_eq!(context.method(), http::Method::POST);
    assert_eq!(context.path(), "/proto.KV/Get");
    let trace = context.trace().unwrap();
    assert_eq!(trace.trace_id(), 0x4bf92f3577b34da6a3ce929d0e0e4736);
}

#[tokio::test]
async fn what_is_not_said_is_not_known() {
    let context = seen_with(&[]).await;
    assert_eq!(context.client(), None);
    assert_eq!(context.peer(), None);
    assert_eq!(context.deadline(), None);
    assert_eq!(context.trace(), None);
}

#[tokio::test]
async fn an_id_is_made_where_none_came_or_garbage_or_several() {
    let long = "x".repeat(129);
    for came in [
        vec![],
        vec![("x-request-id", "")],
        vec![("x-request-id", "id level=error")],
        vec![("x-request-id", "\"")],
        vec![("x-request-id", "é")],
        vec![("x-request-id", &long)],
        vec![("x-request-id", "a"), ("x-request-id", "b")],
        vec![("x-request-id", "a"), ("x-request-id", "a")],
    ] {
        let context = seen_with(&came).await;
        let uuid = uuid::Uuid::parse_str(context.id().as_str());
        assert_eq!(uuid.expect("one was made").get_version_num(), 7, "{came:?}");
    }
    let longest = "x".repeat(128);
    let context = seen_with(&[("x-request-id", &longest)]).await;
    assert_eq!(context.id().as_str(), longest);
}

#[tokio::test]
async fn a_client_that_is_garbage_or_several_is_none() {
    for came in [
        vec![("x-client-id", "a b")],
        vec![("x-client-id", "a"), ("x-client-id", "b")],
    ] {
        assert_eq!(seen_with(&came).await.client(), None, "{came:?}");
    }
}

#[tokio::test]
async fn ids_of_strangers_need_not_be_taken() {
    let layer = ServerContextLayer::new()
        .without_given_ids()
        .without_client_header();
    let request = with(&[("x-request-id", "id-1"), ("x-client-id", "root")]);
    let context = seen(&layer, request).await;
    assert_ne!(context.id().as_str(), "id-1");
    assert_eq!(context.client(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_read_is_none_and_of_several_the_earliest_counts() {
    for (came, expected) in [
        (vec!["123456789S"], None),
        (vec!["1s"], None),
        (vec![""], None),
        (vec!["-1S"], None),
        (vec!["0n"], Some(Duration::ZERO)),
        (vec!["3S", "2S"], Some(Duration::from_secs(2))),
        (vec!["garbage", "2S"], Some(Duration::from_secs(2))),
        (
            vec!["99999999H"],
            Some(Duration::from_secs(99_999_999 * 3_600)),
        ),
    ] {
        let headers: Vec<_> = came.iter().map(|it| ("grpc-timeout", *it)).collect();
        assert_eq!(seen_with(&headers).await.remaining(), expected, "{came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_can_be_given_a_default_and_a_bound() {
    let layer = ServerContextLayer::new()
        .with_default_timeout(Duration::from_secs(5))
        .with_longest_timeout(Duration::from_secs(60));
    for (came, expected) in [
        (vec![], 5),
        (vec![("grpc-timeout", "garbage")], 5),
        (vec![("grpc-timeout", "9S")], 9),
        (vec![("grpc-timeout", "2M")], 60),
    ] {
        let remaining = seen(&layer, with(&came)).await.remaining();
        assert_eq!(remaining, Some(Duration::from_secs(expected)), "{came:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_headers_can_be_chosen() {
    let layer = ServerContextLayer::new()
        .with_id_header(HeaderName::from_static("x-correlation-id"))
        .with_client_header(HeaderName::from_static("x-tenant"))
        .with_timeout_header(HeaderName::from_static("x-timeout-ms"));
    let said = [
        ("x-correlation-id", "c"),
        ("x-tenant", "t"),
        ("x-timeout-ms", "1500"),
        ("x-request-id", "r"),
        ("grpc-timeout", "2S"),
    ];
    let context = seen(&layer, with(&said)).await;
    assert_eq!(context.id().as_str(), "c");
    assert_eq!(context.client().unwrap().as_str(), "t");
    assert_eq!(context.remaining(), Some(Duration::from_millis(1_500)));
    let context = seen(&layer, with(&said[..2])).await;
    assert_eq!(context.remaining(), None);
}

#[tokio::test]
async fn a_peer_can_be_found_another_way() {
    #[derive(Clone)]
    struct Connection(SocketAddr);
    let peer: SocketAddr = "[::1]:80".parse().unwrap();
    let find = |it: &http::Extensions| it.get::<Connection>().map(|it| it.0);
    let layer = ServerContextLayer::new().with_peer(find);
    let mut request = Request::new(());
    request.extensions_mut().insert(Connection(peer));
    assert_eq!(seen(&layer, request).await.peer(), Some(peer));
}

#[tokio::test]
async fn a_path_is_cut_and_has_nothing_that_could_mislead_a_log() {
    let mut request = Request::new(());
    *request.uri_mut() = format!("/{}", "x".repeat(500)).parse().unwrap();
    let context = seen(&ServerContextLayer::new(), request).await;
    assert_eq!(context.path(), format!("/{}", "x".repeat(127)));

    let mut request = Request::new(());
    *request.uri_mut() = http::Uri::try_from("/a\"b'c\u{e9}").unwrap();
    let context = seen(&ServerContextLayer::new(), request).await;
    assert_eq!(context.path(), "/a?b?c??");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_becomes_less_and_ends_at_nothing() {
    let service = service_fn(|_| async {
        let end = Instant::now() + Duration::from_secs(2);
        assert_eq!(deadline(), Some(end));
        advance(Duration::from_millis(500)).await;
        assert_eq!(remaining(), Some(Duration::from_millis(1_500)));
        advance(Duration::from_secs(9)).await;
        assert_eq!(remaining(), Some(Duration::ZERO));
        assert_eq!(deadline(), Some(end));
        Ok::<_, Infallible>(())
    });
    let request = with(&[("grpc-timeout", "2S")]);
    ServerContextLayer::new()
        .layer(service)
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!((deadline(), remaining()), (None, None));
}
