use std::time::Duration;

use super::*;

const FIRST: Attempt = Attempt {
    deadline: None,
    is_whole: false,
    previous: 0,
};

fn parts(headers: &[(&'static str, &'static str)]) -> Parts {
    let mut request = Request::post("/shop.v1.Cart/Get").version(Version::HTTP_2);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let method = GrpcMethod::new("shop.v1.Cart", "Get");
    request.extension(method).body(()).unwrap().into_parts().0
}

fn usual() -> Parts {
    parts(&[("te", "trailers"), ("content-type", "application/grpc")])
}

#[test]
fn each_attempt_has_the_same_head() {
    let more = parts(&[
        ("te", "trailers"),
        ("content-type", "application/grpc+json"),
        ("authorization", "secret"),
    ]);
    for head in [usual(), more] {
        let expected = (head.method.clone(), head.uri.clone(), head.headers.clone());
        let mut head = Head::new(head, true, false);
        for _ in 0..3 {
            let request = head.request(FIRST, Body::empty()).unwrap();
            assert_eq!(request.version(), Version::HTTP_2);
            let method = request.extensions().get::<GrpcMethod<'static>>().unwrap();
            assert_eq!(method.method(), "Get");
            assert_eq!(head.path(), "/shop.v1.Cart/Get");
            let (request, _) = request.into_parts();
            assert_eq!((request.method, request.uri, request.headers), expected);
        }
    }
}

#[test]
fn what_callers_and_layers_have_put_beside_it_stays() {
    let mut head = usual();
    head.extensions.insert("a note");
    let mut head = Head::new(head, true, false);
    for _ in 0..2 {
        let request = head.request(FIRST, Body::empty()).unwrap();
        assert_eq!(request.extensions().get(), Some(&"a note"));
        assert!(request.extensions().get::<GrpcMethod<'static>>().is_some());
    }
    let mut bare = usual();
    bare.extensions.clear();
    let mut head = Head::new(bare, true, false);
    for _ in 0..2 {
        let request = head.request(FIRST, Body::empty()).unwrap();
        assert!(request.extensions().is_empty());
    }
}

#[test]
fn the_server_is_told_of_earlier_attempts_and_of_the_time_that_is_left() {
    let now = Instant::now();
    let mut head = usual();
    head.headers.insert("grpc-timeout", "5S".parse().unwrap());
    let mut head = Head::new(head, true, true);
    for (previous, left, told) in [(0, 5_000, None), (1, 2_000, Some("1")), (2, 900, Some("2"))] {
        let attempt = Attempt {
            deadline: Some((Deadline::at(now + Duration::from_millis(left)), now)),
            is_whole: left == 5_000,
            previous,
        };
        let request = head.request(attempt, Body::empty()).unwrap();
        let headers = request.headers();
        let previous = headers.get("grpc-previous-rpc-attempts");
        assert_eq!(previous.map(|it| it.to_str().unwrap()), told);
        let timeout = Deadline::of(headers, now).unwrap();
        assert_eq!(timeout.remaining(now), Duration::from_millis(left));
    }
}

/// Its deadline is not known to us.
#[test]
fn a_timeout_that_cannot_be_read_goes_to_the_server_each_time() {
    let head = parts(&[
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "soon"),
    ]);
    let mut head = Head::new(head, true, false);
    for _ in 0..2 {
        let request = head.request(FIRST, Body::empty()).unwrap();
        assert_eq!(request.headers()["grpc-timeout"], "soon");
    }
}

#[test]
fn nothing_is_kept_of_a_call_that_is_sent_once() {
    let mut head = Head::new(usual(), false, false);
    assert!(head.request(FIRST, Body::empty()).is_some());
    assert!(head.request(FIRST, Body::empty()).is_none());
}
