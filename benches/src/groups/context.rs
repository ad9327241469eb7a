//! Contexts of requests, over a service that hands the request back: so that one request does for all calls.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use mainstay_request_context::{
    ClientContextLayer, Id, InFlight, RequestContext, ServerContextLayer,
};
use tower::{Layer, Service};

use crate::{
    backend::{Backend, Failed},
    group::{ALONE_AND_SHARED, Group, Role, Row, Scenario},
    work::Driver,
};

const ID: (&str, &str) = ("x-request-id", "0195f7a2-0000-7000-8000-000000000000");
const ALL: [(&str, &str); 4] = [
    ID,
    ("x-client-id", "web"),
    ("grpc-timeout", "10S"),
    (
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
];

pub(super) fn group() -> Group {
    Group {
        name: "context",
        title: "Request context",
        crates: &["mainstay-request-context", "http", "tracing", "uuid"],
        scenarios: vec![
            Scenario {
                name: "server",
                about: "A request of gRPC with six headers, and an id that is given or not; nobody wants its span. The \
                    requests in flight are known, but in the last row.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: vec![
                    row("bare service", Role::Floor, &[ID], |it| it),
                    row("mainstay, id given", Role::Ours, &[ID], known),
                    row("mainstay, id made", Role::Ours, &[], known),
                    row("mainstay, all of it given", Role::Ours, &ALL, known),
                    row(
                        "mainstay, id given, not known in flight",
                        Role::Ours,
                        &[ID],
                        |it| ServerContextLayer::new().layer(it),
                    ),
                ],
            },
            Scenario {
                name: "client",
                about: "A call that is made for a request, whose id and deadline it passes on.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: vec![
                    row("bare service", Role::Floor, &[ID], |it| it),
                    Row::driven("mainstay", Role::Ours, || {
                        let id = Id::new(ID.1).expect("an id");
                        let context = RequestContext::new(id).with_timeout(super::cache::HOUR);
                        let mut call = caller(ClientContextLayer::new().layer(HandBack), &[ID]);
                        move |request, driver: &mut Driver<'_>| {
                            context.clone().in_scope(|| call(request, driver))
                        }
                    }),
                ],
            },
        ],
    }
}

/// With those in flight.
fn known(
    inner: HandBack,
) -> impl Service<Request<u64>, Response = Request<u64>, Error = Failed, Future: Send> + Clone + Send
{
    ServerContextLayer::new()
        .with_in_flight(InFlight::new())
        .layer(inner)
}

fn row<S>(
    name: &'static str,
    role: Role,
    said: &'static [(&str, &str)],
    layered: impl Fn(HandBack) -> S + 'static,
) -> Row
where
    S: Service<Request<u64>, Response = Request<u64>, Error = Failed> + Clone + Send + 'static,
{
    let row = Row::driven(name, role, move || caller(layered(HandBack), said));
    row.with_future(size_of::<S::Future>())
}

fn caller<S>(
    mut service: S,
    said: &[(&'static str, &'static str)],
) -> impl FnMut(u64, &mut Driver<'_>) -> Result<u64, Failed> + Clone + Send + 'static
where
    S: Service<Request<u64>, Response = Request<u64>, Error = Failed> + Clone + Send + 'static,
{
    let mut kept = Some(request(said));
    move |number, driver| {
        let mut request = kept.take().unwrap_or_default();
        *request.body_mut() = number;
        assert!(
            driver.ready(&mut service),
            "a service that is broken for good"
        );
        let request = driver.run(service.call(request))?;
        let number = *request.body();
        kept = Some(request);
        Ok(number)
    }
}

/// As gRPC's clients make them.
fn request(said: &[(&'static str, &'static str)]) -> Request<u64> {
    const PLAIN: [(&str, &str); 5] = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-rust"),
        ("accept-encoding", "gzip"),
        ("x-tenant", "7"),
    ];
    let mut request = Request::post("http://localhost/proto.KV/Get")
        .body(0)
        .expect("a request");
    let headers: HeaderMap = PLAIN
        .iter()
        .chain(said)
        .map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    *request.headers_mut() = headers;
    request
}

/// Answers a request with itself, at once.
#[derive(Clone, Copy)]
struct HandBack;

impl Service<Request<u64>> for HandBack {
    type Response = Request<u64>;
    type Error = Failed;
    type Future = Ready<Result<Request<u64>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u64>) -> Self::Future {
        ready(Backend::<0>.answer(*request.body()).map(|_| request))
    }
}
