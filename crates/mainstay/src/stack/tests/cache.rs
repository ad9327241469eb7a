use futures_util::future::join_all;
use http::HeaderName;
use mainstay_ttl_cache::{Limits, Ttl};

use super::*;
use crate::answers::AnswerCache;

const LIST: &str = "/shop.v1.Cart/List";
const FRESH: Duration = ms(1_000);

fn cache() -> AnswerCache {
    let ttl = Ttl::new(FRESH).unwrap();
    AnswerCache::named("cart", 1 << 20, Limits::new(100).unwrap())
        .unwrap()
        .with_method("shop.v1.Cart/Get", ttl)
}

fn cached() -> Stack {
    stack().without_retries().with_cache(cache()).unwrap()
}

fn with(path: &str, message: &'static [u8], metadata: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = request(path).map(|_| Body::new(Full::new(Bytes::from_static(message))));
    for (name, value) in metadata {
        let headers = request.headers_mut();
        headers.append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_kept_is_given_whole_and_without_a_call_until_its_time_is_over() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stack = cached();
    let stacked = stack.layer(service.clone());
    for _ in 0..3 {
        let answer = stacked.clone().call(request(GET)).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(answer.to_bytes(), b"\0\0\0\0\0"[..]);
    }
    assert_eq!(service.calls(), 1);
    let snapshot = stack.snapshot();
    let cache = snapshot.cache.unwrap();
    assert_eq!((cache.loaded, cache.hits), (1, 2));
    assert_eq!(snapshot.calls.ended(), 1, "the others went no further");

    tokio::time::advance(FRESH).await;
    call(&stacked, request(GET)).await.unwrap();
    assert_eq!(service.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_differ_in_message_or_metadata_of_the_key_have_answers_of_their_own() {
    let tenant = HeaderName::from_static("x-tenant");
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let cache = cache().with_key_metadata(tenant);
    let stacked = stack().with_cache(cache).unwrap().layer(service.clone());
    let tenants: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-tenant", "")],
        &[("x-tenant", "a")],
        &[("x-tenant", "b")],
        &[("x-tenant", "a"), ("x-tenant", "b")],
    ];
    let forms: [&[(&str, &str)]; 2] = [
        &[("grpc-accept-encoding", "gzip")],
        &[("grpc-encoding", "gzip")],
    ];
    let mut different = Vec::new();
    for message in [&b""[..], b"a", b"ab"] {
        different.extend(tenants.iter().chain(&forms).map(|it| (message, *it)));
    }
    for (round, ()) in [(); 2].into_iter().enumerate() {
        for (at, (message, metadata)) in different.iter().enumerate() {
            call(&stacked, with(GET, message, metadata)).await.unwrap();
            let calls = if round == 0 { at + 1 } else { different.len() };
            assert_eq!(service.calls(), calls, "{message:?} {metadata:?}");
        }
    }
    // What is not named makes no difference.
    call(&stacked, with(GET, b"a", &[("x-other", "c")]))
        .await
        .unwrap();
    assert_eq!(service.calls(), different.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_named_or_has_credentials_passes_the_cache_by() {
    let secret = HeaderName::from_static("x-secret");
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let cache = cache().with_credentials(secret);
    let stack = stack().with_cache(cache.clone()).unwrap();
    let stacked = stack.layer(service.clone());
    call(&stacked, request(GET)).await.unwrap();
    let credentials = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "x-secret",
    ];
    for name in credentials {
        let before = service.calls();
        for _ in 0..2 {
            call(&stacked, with(GET, b"\0\0\0\0\0", &[(name, "of alice")]))
                .await
                .unwrap();
        }
        assert_eq!(service.calls(), before + 2, "{name}");

        // Unless each of them has its own.
        let cache = cache.clone().with_key_metadata(name.parse().unwrap());
        let stacked = super::stack()
            .with_cache(cache)
            .unwrap()
            .layer(service.clone());
        for user in ["alice", "bob", "alice", "bob"] {
            call(&stacked, with(GET, b"x", &[(name, user)]))
                .await
                .unwrap();
        }
        assert_eq!(service.calls(), before + 4, "{name}");
    }
    let before = service.calls();
    for _ in 0..2 {
        call(&stacked, request(ADD)).await.unwrap();
    }
    assert_eq!(service.calls(), before + 2);
}

/// The cache stands before them all.
#[tokio::test(start_paused = true)]
async fn what_is_there_needs_no_place_no_readiness_and_no_circuit() {
    let mut service = Scripted::new([Does::Answers(Code::Ok), Does::Hangs]);
    service.ready_after = ms(100);
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let stack = cached().with_concurrency_limit(limit);
    let stacked = stack.layer(service.clone());
    call(&stacked, request(GET)).await.unwrap();
    let mut hanging = tokio_test::task::spawn(call(&stacked, request(ADD)));
    assert!(hanging.poll().is_pending());
    stack.circuit().unwrap().force_open();
    let begun = Instant::now();
    call(&stacked, request(GET)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let full = call(&stacked, request(ADD)).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
}

#[tokio::test(start_paused = true)]
async fn only_good_answers_are_kept_and_any_other_is_told_to_all_who_wait() {
    for code in [
        Code::NotFound,
        Code::InvalidArgument,
        Code::Unavailable,
        Code::Internal,
    ] {
        let service = Scripted::new([Does::After(ms(10), code)]);
        let stacked = cached().layer(service.clone());
        for calls in 1..3 {
            for told in join_all((0..3).map(|_| call(&stacked, request(GET)))).await {
                assert_eq!(told.unwrap_err().code(), code);
            }
            assert_eq!(service.calls(), calls);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_bridges_a_failure_but_no_other_answer() {
    let ttl = Ttl::new(FRESH).unwrap().with_stale_if_error(10 * FRESH);
    let cache = cache().with_method("/shop.v1.Cart/Get", ttl);
    let stack = stack().without_retries().without_circuit();
    let stack = stack.with_cache(cache).unwrap();
    let script = [
        Does::Answers(Code::Ok),
        Does::Dies,
        Does::IsDead,
        Does::Answers(Code::Unavailable),
        Does::Answers(Code::NotFound),
    ];
    let calls = script.len();
    let service = Scripted::new(script);
    let stacked = stack.layer(service.clone());
    for _ in 1..calls {
        call(&stacked, request(GET)).await.unwrap();
        tokio::time::advance(2 * FRESH).await;
    }
    let gone = call(&stacked, request(GET)).await.unwrap_err();
    assert_eq!((gone.code(), service.calls()), (Code::NotFound, calls));
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_given_while_a_new_one_is_fetched() {
    let ttl = Ttl::new(FRESH).unwrap().with_stale_while_revalidate(FRESH);
    let stack = stack()
        .with_cache(cache().with_method("shop.v1.Cart/Get", ttl))
        .unwrap();
    let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
    let stacked = stack.layer(service.clone());
    call(&stacked, request(GET)).await.unwrap();
    tokio::time::advance(FRESH).await;
    let begun = Instant::now();
    call(&stacked, request(GET)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    sleep(ms(20)).await;
    call(&stacked, request(GET)).await.unwrap();
    assert_eq!(service.calls(), 2);
    assert_eq!(stack.snapshot().cache.unwrap().stale_hits, 1);
}

/// Its time is its own: the load has that of the stack, and says so.
#[tokio::test(start_paused = true)]
async fn a_caller_with_little_time_takes_none_from_the_others() {
    let service = Scripted::new([Does::After(ms(100), Code::Ok)]);
    let stack = cached();
    let stacked = stack.layer(service.clone());
    let hurried = call(&stacked, request_within(GET, "50m"));
    let (hurried, patient) = tokio::join!(hurried, call(&stacked, request(GET)));
    let hurried = hurried.unwrap_err();
    assert_eq!(hurried.code(), Code::DeadlineExceeded);
    assert!(is_caused_by::<Expired>(&hurried));
    patient.unwrap();
    assert_eq!(service.calls(), 1);
    assert_eq!(service.header(0, "grpc-timeout").unwrap(), "30000000u");
}

#[tokio::test(start_paused = true)]
async fn an_answer_above_the_limit_goes_to_its_caller_and_others_make_their_own_call() {
    let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
    let stack = cached().with_answer_memory(4);
    let stacked = stack.layer(service.clone());
    for answer in join_all((0..3).map(|_| call(&stacked, request(GET)))).await {
        answer.unwrap();
    }
    assert_eq!(service.calls(), 3);
    assert_eq!(stack.snapshot().cache.unwrap().entries, 0);
    assert_eq!(stack.snapshot().calls.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_for_a_key_passes_the_cache_by() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stack = cached();
    let stacked = stack.layer(service.clone());
    static LONG: [u8; (64 << 10) + 1] = [0; _];
    for (length, calls) in [(LONG.len(), 2), (LONG.len() - 1, 1)] {
        let before = service.calls();
        for _ in 0..2 {
            call(&stacked, with(GET, &LONG[..length], &[]))
                .await
                .unwrap();
        }
        assert_eq!(service.calls(), before + calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_is_told_its_own_failure() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = cached().layer(service.clone());
    let frames = [Err::<Frame<Bytes>, _>(Status::aborted("half"))];
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    let failed = call(&stacked, request(GET).map(|_| body))
        .await
        .unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Aborted, "half"));
    assert_eq!(service.calls(), 0);
}

/// All that a failed call says, to each.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_all_with_its_pushback_and_cause() {
    let service = Scripted::new([Does::PushesBack(Code::Unavailable, "700")]);
    let stack = cached();
    let stacked = stack.layer(service.clone());
    for told in join_all((0..3).map(|_| stacked.clone().call(request(GET)))).await {
        assert_eq!(told.unwrap().headers()["grpc-retry-pushback-ms"], "700");
    }
    stack.circuit().unwrap().force_open();
    for told in join_all((0..3).map(|_| call(&stacked, request(GET)))).await {
        assert!(is_caused_by::<Open>(&told.unwrap_err()));
    }
}

#[derive(Clone)]
struct Panics;

impl Service<Request<Body>> for Panics {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("out of ideas")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_internal_to_all_and_the_next_call_is_made() {
    let stack = cached();
    let stacked = stack.layer(Panics);
    for calls in 1..3 {
        for told in join_all((0..3).map(|_| call(&stacked, request(GET)))).await {
            let told = told.unwrap_err();
            assert_eq!(told.code(), Code::Internal);
            assert!(told.message().contains("cart"), "{told}");
            assert!(told.message().contains("out of ideas"), "{told}");
        }
        let snapshot = stack.snapshot();
        assert_eq!(snapshot.calls.in_flight, 0);
        assert_eq!(snapshot.cache.unwrap().failed, 3 * calls);
    }
}

#[test]
fn a_method_that_streams_cannot_be_cached_and_an_unknown_one_counts_as_unary() {
    let ttl = Ttl::new(FRESH).unwrap();
    let refused = stack()
        .with_cache(cache().with_method("shop.v1.Cart/Watch", ttl))
        .unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.starts_with("shop.v1.Cart/Watch streams"),
        "{refused}"
    );

    let stack = stack().with_cache(cache().with_method(LIST, ttl)).unwrap();
    assert_eq!(stack.methods.get(LIST), Method::unary());
    assert_eq!(stack.methods.get(GET), Method::unary().idempotent());
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_is_asked_for_again() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let cache = cache().with_method(LIST, Ttl::new(FRESH).unwrap());
    let stack = stack().with_cache(cache.clone()).unwrap();
    let stacked = stack.layer(service.clone());
    let calls = async || {
        for path in [GET, LIST] {
            call(&stacked, request(path)).await.unwrap();
        }
        service.calls()
    };
    assert_eq!((calls().await, calls().await), (2, 2));
    cache.invalidate_method("shop.v1.Cart/List");
    assert_eq!(calls().await, 3);
    cache.invalidate_all();
    assert_eq!(calls().await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_point_leaves_nothing_of_itself() {
    for polls in 0.. {
        let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
        let stack = cached();
        let stacked = stack.layer(service.clone());
        let mut dropped = tokio_test::task::spawn(call(&stacked, request(GET)));
        let mut is_done = false;
        for _ in 0..polls {
            is_done = dropped.poll().is_ready();
            if is_done {
                break;
            }
            tokio::time::advance(ms(5)).await;
        }
        drop(dropped);
        let snapshot = stack.snapshot();
        assert_eq!((snapshot.calls.in_flight, snapshot.requests_kept), (0, 0));
        assert_eq!(snapshot.cache.unwrap().loading, 0);
        call(&stacked, request(GET)).await.unwrap();
        if is_done {
            assert!(polls > 2, "it was dropped at {polls} places");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_context_of_a_caller_is_not_that_of_the_load() {
    use mainstay_request_context::{Id, InContext as _, RequestContext};

    #[derive(Clone)]
    struct Looks(Scripted);

    impl Service<Request<Body>> for Looks {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = <Scripted as Service<Request<Body>>>::Future;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            assert!(RequestContext::current().is_none());
            self.0.call(request)
        }
    }

    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = cached().layer(Looks(service.clone()));
    let context = RequestContext::new(Id::new("mine").unwrap());
    let called = call(&stacked, request(GET)).in_context(context).await;
    called.unwrap();
    assert_eq!(service.header(0, "x-request-id").unwrap(), "mine");
}

/// Answers what it is given, one after another.
#[derive(Clone)]
struct Given(Arc<Mutex<VecDeque<Response<Body>>>>);

impl Given {
    fn new(answers: impl IntoIterator<Item = Response<Body>>) -> Self {
        Self(Arc::new(Mutex::new(answers.into_iter().collect())))
    }
}

impl Service<Request<Body>> for Given {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let answer = self.0.lock().unwrap().pop_front();
        std::future::ready(Ok(answer.expect("there is one more")))
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_does_not_bridge_what_a_proxy_refuses() {
    for (http, code) in [
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
    ] {
        let ttl = Ttl::new(FRESH).unwrap().with_stale_if_error(10 * FRESH);
        let stack = stack().without_retries();
        let stack = stack.with_cache(cache().with_method(GET, ttl)).unwrap();
        let refused = Response::builder().status(http).body(Body::empty());
        let stacked = stack.layer(Given::new([answer(Code::Ok), refused.unwrap()]));
        call(&stacked, request(GET)).await.unwrap();
        tokio::time::advance(2 * FRESH).await;
        let refused = call(&stacked, request(GET)).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

/// It is known by then that it is none any more.
#[tokio::test(start_paused = true)]
async fn an_old_answer_is_gone_once_there_was_another() {
    let ttl = Ttl::new(FRESH).unwrap().with_stale_if_error(10 * FRESH);
    let stack = stack().without_retries();
    let stack = stack.with_cache(cache().with_method(GET, ttl)).unwrap();
    let service = Scripted::new([Code::Ok, Code::NotFound, Code::Unavailable].map(Does::Answers));
    let stacked = stack.layer(service);
    call(&stacked, request(GET)).await.unwrap();
    tokio::time::advance(2 * FRESH).await;
    for code in [Code::NotFound, Code::Unavailable] {
        let gone = call(&stacked, request(GET)).await.unwrap_err();
        assert_eq!(gone.code(), code);
    }
}

/// A client takes it for a failure.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_message_is_not_kept() {
    let empty = || {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert("grpc-status", 0.into());
        response
    };
    let stack = cached();
    let stacked = stack.layer(Given::new([empty(), empty()]));
    for _ in 0..2 {
        let answer = stacked.clone().call(request(GET)).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "0");
    }
    assert_eq!(stack.snapshot().cache.unwrap().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_holds_no_buffer_that_it_came_in() {
    struct Buffer {
        bytes: &'static [u8],
        _held: Arc<()>,
    }

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            self.bytes
        }
    }

    let buffer = Arc::new(());
    let part = |bytes| {
        let _held = Arc::clone(&buffer);
        Bytes::from_owner(Buffer { bytes, _held })
    };
    let value = || http::HeaderValue::from_maybe_shared(part(b"blue")).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    trailers.insert("x-colour", value());
    let message = Full::new(part(b"\0\0\0\0\0"));
    let body = message.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert("x-colour", value());
    let stack = cached();
    let stacked = stack.layer(Given::new([response]));
    for _ in 0..2 {
        let answer = stacked.clone().call(request(GET)).await.unwrap();
        assert_eq!(answer.headers()["x-colour"], "blue");
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["x-colour"], "blue");
    }
    assert_eq!(stack.snapshot().cache.unwrap().entries, 1);
    assert_eq!(Arc::strong_count(&buffer), 1);
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_path_makes_a_difference() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = cached().layer(service.clone());
    for of in ["a", "b"] {
        let path = format!("{GET}?of={of}");
        call(&stacked, request(&path)).await.unwrap();
    }
    assert_eq!(service.calls(), 2);
}

/// Whoever is left brings it to its end.
#[tokio::test(start_paused = true)]
async fn who_leaves_at_any_point_takes_nothing_from_who_waits() {
    for within in [1, 5, 9] {
        let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
        let stack = cached();
        let stacked = stack.layer(service.clone());
        let mut first = tokio_test::task::spawn(call(&stacked, request(GET)));
        assert!(first.poll().is_pending());
        let (_, waited) = tokio::join!(
            async {
                sleep(ms(within)).await;
                drop(first);
            },
            call(&stacked, request_within(GET, "11m")),
        );
        waited.unwrap();
        assert_eq!(service.calls(), 1);
        assert_eq!(stack.snapshot().calls.in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_answer_that_nobody_takes_is_given_up() {
    let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
    let stack = cached().with_answer_memory(4);
    let stacked = stack.layer(service.clone());
    let hurried = call(&stacked, request_within(GET, "5m"));
    let (hurried, patient) = tokio::join!(hurried, call(&stacked, request(GET)));
    assert_eq!(hurried.unwrap_err().code(), Code::DeadlineExceeded);
    patient.unwrap();
    let snapshot = stack.snapshot();
    assert_eq!((snapshot.calls.in_flight, snapshot.calls.dropped), (0, 1));
}
