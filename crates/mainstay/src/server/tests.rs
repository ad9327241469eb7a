use std::convert::Infallible;
use std::future::{Future, pending};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_request_context::{InFlight, RequestContext};
use mainstay_tasks::Phase;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use super::*;

const GET: &str = "/kv.Kv/Get";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const MESSAGE: &[u8] = b"\0\0\0\0\0";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What the service does with a call.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    Says(Code),
    After(Duration),
    Hangs,
    /// A message every so often, for ever.
    Streams(Duration),
    /// As many messages as there is time for.
    Floods,
    Fails,
    PanicsAtOnce,
    PanicsLater,
    /// With what panics, too.
    PanicsTwice,
    PanicsInItsStream,
    /// After its answer.
    PanicsWhenDropped,
    /// After its last message.
    PanicsWhenItsStreamIsDropped,
}

/// Panics when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("out of patience");
    }
}

use Does::*;

/// A generated server, but for what it does.
#[derive(Clone)]
struct Kv {
    does: Does,
    /// The id of each context in which it was at work.
    ids: Arc<Mutex<Vec<String>>>,
}

fn kv(does: Does) -> Kv {
    Kv {
        does,
        ids: Arc::default(),
    }
}

impl NamedService for Kv {
    const NAME: &'static str = "kv.Kv";
}

fn note(ids: &Mutex<Vec<String>>) {
    let context = RequestContext::current().expect("a service works in a context");
    ids.lock().unwrap().push(context.id().as_str().to_owned());
}

fn ok() -> HeaderMap {
    [(Status::GRPC_STATUS, 0.into())].into_iter().collect()
}

fn streamed<S>(messages: S) -> Response<Body>
where
    S: stream::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
{
    Response::new(Body::new(StreamBody::new(messages)))
}

fn data() -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::from_static(MESSAGE)))
}

async fn run(does: Does, ids: Arc<Mutex<Vec<String>>>) -> Result<Response<Body>, Infallible> {
    note(&ids);
    let whole = Full::new(Bytes::from_static(MESSAGE)).with_trailers(async { Some(Ok(ok())) });
    let whole = Response::new(Body::new(whole));
    Ok(match does {
        Answers => whole,
        Says(code) => Status::new(code, "as told").into_http(),
        After(time) => {
            sleep(time).await;
            note(&ids);
            whole
        }
        Hangs => pending().await,
        Streams(every) => streamed(stream::unfold((), move |()| {
            let ids = Arc::clone(&ids);
            async move {
                sleep(every).await;
                note(&ids);
                Some((data(), ()))
            }
        })),
        Floods => streamed(stream::repeat_with(data)),
        Fails => streamed(stream::iter([data(), Err(Status::aborted("half"))])),
        PanicsAtOnce => unreachable!("it does so where it is called"),
        PanicsLater => {
            sleep(ms(1)).await;
            panic!("out of ideas")
        }
        PanicsTwice => std::panic::panic_any(Grudge),
        PanicsInItsStream => streamed(stream::iter(0..).map(|it| match it {
            0 => data(),
            _ => panic!("out of messages"),
        })),
        PanicsWhenDropped => {
            let _grudge = Grudge;
            sleep(ms(1)).await;
            whole
        }
        PanicsWhenItsStreamIsDropped => {
            let grudge = Grudge;
            let frames = stream::iter([data(), Ok(Frame::trailers(ok()))]);
            streamed(frames.inspect(move |_| {
                let _ = &grudge;
            }))
        }
    })
}

impl Service<Request<Body>> for Kv {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(!matches!(self.does, PanicsAtOnce), "out of order");
        Box::pin(run(self.does, Arc::clone(&self.ids)))
    }
}

fn request(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

fn within(timeout: &str) -> Request<Body> {
    let mut request = request(GET);
    let headers = request.headers_mut();
    headers.insert("grpc-timeout", timeout.parse().unwrap());
    request
}

/// The messages that came of a call, and how it ended.
async fn call<S>(service: &S, request: Request<Body>) -> (usize, Status)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    if let Some(status) = Status::from_header_map(response.headers()) {
        assert!(response.into_body().is_end_stream());
        return (0, status);
    }
    let mut body = response.into_body();
    let mut messages = 0;
    loop {
        let frame = body.frame().await.expect("it says how it ends").unwrap();
        match frame.into_trailers() {
            Ok(trailers) => {
                assert!(body.frame().await.is_none() && body.is_end_stream());
                let status = Status::from_header_map(&trailers);
                return (messages, status.expect("it says how it ended"));
            }
            Err(_) => messages += 1,
        }
    }
}

async fn code<S>(service: &S, request: Request<Body>) -> Code
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    call(service, request).await.1.code()
}

fn one_at_a_time() -> ConcurrencyLimit {
    ConcurrencyLimit::new(NonZeroU32::MIN).with_wait_within(Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_through_as_it_is() {
    let stack = ServerStack::new();
    assert_eq!(call(&stack.layer(kv(Answers)), request(GET)).await.0, 1);
    for expected in [Code::Ok, Code::NotFound, Code::Unavailable] {
        let (messages, status) = call(&stack.layer(kv(Says(expected))), request(GET)).await;
        assert_eq!(
            (messages, status.code(), status.message()),
            (0, expected, "as told")
        );
    }
    let calls = stack.snapshot().calls;
    assert_eq!((calls.succeeded, calls.failed, calls.attempts), (2, 2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_service_works_in_the_context_of_its_request_to_the_end_of_its_stream() {
    let in_flight = InFlight::new();
    let stack = ServerStack::new().with_context(|it| it.with_in_flight(in_flight.clone()));
    let kv = kv(Streams(ms(100)));
    let mut request = within("350m");
    let headers = request.headers_mut();
    headers.insert("x-request-id", "id-1".parse().unwrap());
    let served = stack.layer(kv.clone());
    let response = served.oneshot(request).await.unwrap();
    assert_eq!(in_flight.snapshot()[0].context.path(), GET);
    let frames = response.into_body().collect().await.unwrap();
    assert_eq!(frames.to_bytes().len(), 3 * MESSAGE.len());
    assert_eq!(*kv.ids.lock().unwrap(), ["id-1"; 4]);
    assert!(in_flight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_wherever_it_is() {
    let begun = Instant::now();
    for (round, does) in [Hangs, Streams(ms(10)), Floods, After(ms(101))]
        .into_iter()
        .enumerate()
    {
        let stack = ServerStack::new().with_concurrency_limit(one_at_a_time());
        let served = stack.layer(kv(does));
        if matches!(does, Floods) {
            // Which no clock interrupts that is paused.
            let response = served.oneshot(within("100m")).await.unwrap();
            let mut body = response.into_body();
            assert!(body.frame().await.unwrap().unwrap().is_data());
            sleep(ms(100)).await;
            assert!(body.frame().await.unwrap().unwrap().is_trailers());
        } else {
            let status = call(&served, within("100m")).await.1;
            assert_eq!(status.code(), Code::DeadlineExceeded, "{does:?}");
            assert_eq!(status.message(), "the call was not done within 100ms");
        }
        assert_eq!(begun.elapsed(), ms(100) * u32::try_from(round + 1).unwrap());
        let snapshot = stack.snapshot();
        assert_eq!((snapshot.calls.failed, snapshot.calls.in_flight), (1, 0));
        assert_eq!(snapshot.limit.unwrap().in_use, 0);
    }
    // Nor does one begin that has no time.
    let stack = ServerStack::new();
    let late = code(&stack.layer(kv(Answers)), within("0m")).await;
    assert_eq!(
        (late, stack.snapshot().calls.attempts),
        (Code::DeadlineExceeded, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_counts_for_calls_that_bring_none() {
    let stack = ServerStack::new().with_context(|it| it.with_longest_timeout(ms(50)));
    let begun = Instant::now();
    let late = code(&stack.layer(kv(Hangs)), request(GET)).await;
    assert_eq!((late, begun.elapsed()), (Code::DeadlineExceeded, ms(50)));
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_is_shed_and_probes_of_the_health_always_find_one() {
    let stack = ServerStack::new().with_concurrency_limit(one_at_a_time());
    let stream = stack
        .layer(kv(Streams(ms(10))))
        .oneshot(request(GET))
        .await
        .unwrap();
    let served = stack.layer(kv(Answers));
    let begun = Instant::now();
    assert_eq!(code(&served, request(GET)).await, Code::ResourceExhausted);
    assert_eq!(code(&served, request(HEALTH)).await, Code::Ok);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let snapshot = stack.snapshot();
    assert_eq!(snapshot.limit.unwrap().refused, 1);
    assert_eq!(
        (snapshot.calls.failed, snapshot.calls.attempts),
        (1, 2),
        "it got nowhere"
    );
    drop(stream);
    assert_eq!(code(&served, request(GET)).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_waits_no_longer_than_until_the_deadline() {
    let limit = one_at_a_time().with_wait_within(ms(1_000));
    let stack = ServerStack::new().with_concurrency_limit(limit);
    let (served, begun) = (stack.layer(kv(After(ms(300)))), Instant::now());
    let (first, late, second) = tokio::join!(
        code(&served, request(GET)),
        async { (code(&served, within("100m")).await, begun.elapsed()) },
        code(&served, request(GET)),
    );
    assert_eq!((first, second), (Code::Ok, Code::Ok));
    assert_eq!(late, (Code::DeadlineExceeded, ms(100)));
    assert_eq!(begun.elapsed(), ms(600));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_internal_to_its_caller_who_is_not_told_why_and_to_nobody_else() {
    for (does, messages) in [(PanicsAtOnce, 0), (PanicsLater, 0), (PanicsInItsStream, 1)] {
        let stack = ServerStack::new().with_concurrency_limit(one_at_a_time());
        for panicked in 1..4 {
            let (came, status) = call(&stack.layer(kv(does)), request(GET)).await;
            assert_eq!(
                (came, status.code()),
                (messages, Code::Internal),
                "{does:?}"
            );
            assert_eq!(status.message(), "the service panicked");
            assert_eq!(
                code(&stack.layer(kv(Answers)), request(GET)).await,
                Code::Ok
            );
            let snapshot = stack.snapshot();
            assert_eq!(
                (snapshot.panicked, snapshot.calls.failed),
                (panicked, panicked)
            );
            assert_eq!(snapshot.limit.unwrap().in_use, 0);
        }
    }
    assert!(RequestContext::current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_says_so_in_its_trailers() {
    let stack = ServerStack::new();
    let (messages, status) = call(&stack.layer(kv(Fails)), request(GET)).await;
    assert_eq!(
        (messages, status.code(), status.message()),
        (1, Code::Aborted, "half")
    );
    assert_eq!(stack.snapshot().calls.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_is_told_as_a_status() {
    let broken = tower::service_fn(|_: Request<Body>| async {
        let error: StdError = Status::data_loss("no disk").into();
        Err::<Response<Body>, _>(error)
    });
    let stack = ServerStack::new();
    let (_, status) = call(&stack.layer(broken), request(GET)).await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::DataLoss, "no disk")
    );
}

#[tokio::test(start_paused = true)]
async fn the_drain_waits_for_calls_and_for_streams_to_their_end() {
    let shutdown = Shutdown::new();
    let stack = ServerStack::new().with_shutdown(shutdown.clone());
    let served = stack.layer(kv(After(ms(2_000))));
    let stream = stack.layer(kv(Streams(ms(100))));
    let begun = Instant::now();
    shutdown.begin();
    let (called, streamed, report) = tokio::join!(
        code(&served, request(GET)),
        call(&stream, within("3S")),
        shutdown.run(),
    );
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (called, streamed.1.code()),
        (Code::Ok, Code::DeadlineExceeded)
    );
    assert_eq!((streamed.0, begun.elapsed()), (29, ms(3_000)));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_when_the_drain_is_over_is_told_to_come_again() {
    let shutdown = Shutdown::new().with_limit(Phase::Drain, ms(500));
    let stack = ServerStack::new().with_shutdown(shutdown.clone());
    let (hangs, stream) = (stack.layer(kv(Hangs)), stack.layer(kv(Streams(ms(100)))));
    shutdown.begin();
    let begun = Instant::now();
    let (hung, streamed, report) = tokio::join!(
        code(&hangs, request(GET)),
        call(&stream, request(GET)),
        shutdown.run(),
    );
    assert_eq!(
        (hung, streamed.1.code()),
        (Code::Unavailable, Code::Unavailable)
    );
    assert_eq!(begun.elapsed(), ms(500));
    assert_eq!((report.work_overdue, report.work_hung), (2, 0), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_point_leaves_nothing() {
    let in_flight = InFlight::new();
    let shutdown = Shutdown::new();
    let stack = ServerStack::new()
        .with_context(|it| it.with_in_flight(in_flight.clone()))
        .with_shutdown(shutdown.clone())
        .with_concurrency_limit(one_at_a_time());
    for polls in 0.. {
        let served = stack.layer(kv(Streams(ms(1))));
        let mut one = tokio_test::task::spawn(call(&served, within("5m")));
        let mut done = false;
        for _ in 0..polls {
            done |= one.poll().is_ready();
            if done {
                break;
            }
            sleep(ms(1)).await;
        }
        drop(one);
        let snapshot = stack.snapshot();
        assert_eq!(
            (snapshot.calls.in_flight, snapshot.limit.unwrap().in_use),
            (0, 0)
        );
        assert!(in_flight.is_empty());
        if done {
            assert!(polls > 4, "it was dropped at {polls} places");
            break;
        }
    }
    let begun = Instant::now();
    shutdown.begin();
    assert!(shutdown.run().await.is_clean());
    assert_eq!(begun.elapsed(), Duration::ZERO, "there is no work left");
}

/// Whose own timer, from the same header, would say CANCELLED.
#[tokio::test]
async fn within_a_server_of_tonics_the_deadline_is_told_as_what_it_is() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let incoming = stream::iter([Ok::<_, std::io::Error>(server)]).chain(stream::pending());
    let server = tonic::transport::Server::builder()
        .layer(ServerStack::new())
        .add_service(kv(Hangs))
        .serve_with_incoming(incoming);
    let server = tokio::spawn(server);
    // A channel of tonic's has a timer too, which would be over before the answer is there.
    let (executor, client) = (TokioExecutor::new(), TokioIo::new(client));
    let (client, connection) = http2::handshake(executor, client).await.unwrap();
    let connection = tokio::spawn(connection);
    // The clock is the real one, since there is a server.
    let calls = (1..20).map(|timeout| {
        let mut request = within(&format!("{timeout}m"));
        *request.uri_mut() = http::Uri::from_static("http://localhost/kv.Kv/Get");
        let mut client = client.clone();
        async move {
            let response = client.send_request(request).await.unwrap();
            Status::from_header_map(response.headers()).map(|it| it.code())
        }
    });
    for code in join_all(calls).await {
        assert_eq!(code, Some(Code::DeadlineExceeded));
    }
    drop(client);
    connection.await.unwrap().unwrap();
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_what_is_dropped_goes_no_further_either() {
    for (does, code) in [
        (PanicsTwice, Code::Internal),
        (PanicsWhenDropped, Code::Internal),
        (PanicsWhenItsStreamIsDropped, Code::Ok),
    ] {
        let stack = ServerStack::new();
        let status = call(&stack.layer(kv(does)), request(GET)).await.1;
        assert_eq!(status.code(), code, "{does:?}");
        let snapshot = stack.snapshot();
        assert_eq!((snapshot.panicked, snapshot.calls.in_flight), (1, 0));
    }
}

/// Or a server that ends would wait for those who watch it, and they for its end.
#[tokio::test(start_paused = true)]
async fn the_drain_does_not_wait_for_who_watches_the_health() {
    let shutdown = Shutdown::new();
    let stack = ServerStack::new().with_shutdown(shutdown.clone());
    let watch = stack.layer(kv(Streams(ms(100))));
    let watch = watch.oneshot(request("/grpc.health.v1.Health/Watch"));
    let watch = watch.await.unwrap();
    let begun = Instant::now();
    shutdown.begin();
    let (report, _) = tokio::join!(shutdown.run(), watch.into_body().collect());
    assert!(report.is_clean(), "{report}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_holds_its_place_until_it_is_dropped() {
    let stack = ServerStack::new().with_concurrency_limit(one_at_a_time());
    let served = stack.layer(kv(Streams(ms(10))));
    let unread = served.clone().oneshot(within("100m")).await.unwrap();
    sleep(ms(200)).await;
    assert_eq!(stack.snapshot().limit.unwrap().in_use, 1);
    drop(unread);
    assert_eq!(stack.snapshot().limit.unwrap().in_use, 0);
}

/// As an answer that is none of gRPC's.
#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_and_says_nothing_has_failed() {
    for frames in 0..2 {
        let silent = tower::service_fn(move |_: Request<Body>| async move {
            let body = Full::new(Bytes::from_static(&MESSAGE[..5 * frames]));
            Ok::<_, Infallible>(Response::new(body))
        });
        let stack = ServerStack::new();
        let response = stack.layer(silent).oneshot(request(GET)).await.unwrap();
        let mut body = response.into_body();
        for _ in 0..frames {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        // Then a server reads no more of it.
        assert!(body.is_end_stream());
        drop(body);
        let calls = stack.snapshot().calls;
        assert_eq!((calls.failed, calls.dropped), (1, 0));
    }
}
