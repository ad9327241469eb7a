//! The parts of a stack around a generated client and a real server, to see each outcome; with no more
//! than one decision: to go on to the next connection where that is safe.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tonic::transport::Server;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use tower_service::Service;

use crate::body::{Hold, Memory, Recorder, Watch};
use crate::connection::Connection;
use crate::method::{Method, Methods};
use crate::outcome::{Cause, Code, Outcome, Processed};
use crate::peer;
use crate::status;

mod faults;
mod storm;

const PLENTY: usize = 1 << 20;
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";

#[tokio::test]
async fn a_generated_client_is_answered() {
    let (connection, _health) = server().await;
    let stack = Parts::over([connection]);
    let mut client = HealthClient::new(stack.clone());
    let answer = client.check(nobody()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    assert_eq!(
        stack.outcomes(),
        [Outcome::new(Code::Ok, Cause::Answer)],
        "and it is judged"
    );
    let unknown = HealthCheckRequest {
        service: "unknown".to_owned(),
    };
    let status = client.check(unknown).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(
        stack.outcomes()[1],
        Outcome::new(Code::NotFound, Cause::Answer)
    );
}

#[tokio::test]
async fn a_call_goes_on_from_a_dead_connection() {
    let (dead, stream) = peer::half_connected().await;
    drop(stream);
    dead.closed().await;
    let (connection, _health) = server().await;
    let stack = Parts::over([dead, connection]);
    HealthClient::new(stack.clone())
        .check(nobody())
        .await
        .unwrap();
    let [never, _] = stack.outcomes().try_into().unwrap();
    assert_eq!(never.processed, Processed::Never);
}

/// It has begun to answer, with headers and half a message.
#[tokio::test]
async fn a_call_that_can_be_made_twice_goes_on_from_half_an_answer() {
    for idempotent in [true, false] {
        let (first, mut dying) = peer::connected().await;
        let (second, _health) = server().await;
        let mut stack = Parts::over([first, second]);
        if idempotent {
            stack.methods = stack.methods.with_idempotent(CHECK);
        }
        let kill = async {
            let stream = dying.request().await;
            dying.headers(stream).await;
            dying.data(stream, b"\0\0\0\0\x02\x08", 0).await;
            dying.settle().await;
            drop(dying);
        };
        let mut client = HealthClient::new(stack.clone());
        let (answer, ()) = tokio::join!(client.check(nobody()), kill);
        match answer {
            Ok(answer) => {
                assert!(idempotent);
                assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
            }
            Err(status) => {
                assert!(!idempotent);
                assert_eq!(status.code(), tonic::Code::Unavailable);
            }
        }
        let lost = Outcome::new(Code::Unavailable, Cause::Connection);
        assert_eq!(stack.outcomes()[0], lost);
    }
}

#[tokio::test]
async fn a_stream_says_what_there_is_and_then_is_quiet() {
    let (connection, health) = server().await;
    let stack = Parts::over([connection]);
    let mut client = HealthClient::new(stack.clone());
    let mut updates = client.watch(nobody()).await.unwrap().into_inner();
    let update = updates.message().await.unwrap().unwrap();
    assert_eq!(update.status(), ServingStatus::Serving);
    let quiet = timeout(Duration::from_millis(20), updates.message()).await;
    assert!(quiet.is_err());
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    let update = updates.message().await.unwrap().unwrap();
    assert_eq!(update.status(), ServingStatus::NotServing);
    assert_eq!(stack.outcomes(), []);
    drop(updates);
    let dropped = Outcome::new(Code::Cancelled, Cause::Dropped);
    assert_eq!(stack.outcomes(), [dropped]);
}

/// To tonic it is unknown.
#[tokio::test]
async fn a_stream_whose_server_dies_is_unavailable() {
    let (connection, mut peer) = peer::connected().await;
    let stack = Parts::over([connection]);
    let mut client = HealthClient::new(stack.clone());
    let kill = async {
        let stream = peer.request().await;
        peer.headers(stream).await;
        peer.data(stream, b"\0\0\0\0\x02\x08\x01", 0).await;
        peer
    };
    let (updates, peer) = tokio::join!(client.watch(nobody()), kill);
    let mut updates = updates.unwrap().into_inner();
    updates.message().await.unwrap().unwrap();
    drop(peer);
    let status = updates.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    let lost = Outcome::new(Code::Unavailable, Cause::Connection);
    assert_eq!(stack.outcomes(), [lost]);
}

/// Be it on purpose: a plugin is another's program.
#[tokio::test]
async fn what_a_server_says_makes_no_client_panic() {
    let fields = [("grpc-status", "9"), ("grpc-status-details-bin", "?")];
    for trailers_only in [true, false] {
        let (connection, mut peer) = peer::connected().await;
        let mut client = HealthClient::new(Parts::over([connection]));
        let mut watching = client.clone();
        let answer = async {
            for _ in 0..2 {
                let stream = peer.request().await;
                if trailers_only {
                    peer.trailers_only(stream, &fields).await;
                } else {
                    peer.headers(stream).await;
                    peer.trailers(stream, &fields).await;
                }
            }
        };
        let watch = async {
            match watching.watch(nobody()).await {
                Ok(mut updates) => updates.get_mut().message().await.unwrap_err(),
                Err(status) => status,
            }
        };
        let (check, watch, ()) = tokio::join!(client.check(nobody()), watch, answer);
        assert_eq!(check.unwrap_err().code(), tonic::Code::FailedPrecondition);
        assert_eq!(watch.code(), tonic::Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn a_plugin_is_connected_to_where_its_line_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let script = format!("echo '1|1|unix|{}|grpc'; sleep 1000", path.display());
    let cookie = mainstay_plugin::Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let plugin = mainstay_plugin::Launcher::new("/bin/sh", cookie, 1)
        .with_argument("-c")
        .with_argument(script)
        .launch()
        .await
        .unwrap();

    let error = Connection::to_plugin(plugin.connector()).await.unwrap_err();
    let lost = Outcome::new(Code::Unavailable, Cause::Connection);
    assert_eq!(
        status::failed(&error),
        lost.with_processed(Processed::Never),
        "it does not listen yet"
    );

    let listener = UnixListener::bind(path).unwrap();
    let (_health, service) = tonic_health::server::health_reporter();
    tokio::spawn(async move {
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(listener.accept().await?.0));
        let server = Server::builder().add_service(service);
        server.serve_with_incoming(incoming).await?;
        Ok::<_, BoxError>(())
    });
    let connection = Connection::to_plugin(plugin.connector()).await.unwrap();
    HealthClient::new(Parts::over([connection]))
        .check(nobody())
        .await
        .expect("it is answered");
}

/// The other side is told, and the connection is as good as before.
#[tokio::test]
async fn a_call_can_be_dropped_at_any_time() {
    let (connection, _health) = server().await;
    let stack = Parts::over([connection]);
    for polls in 0.. {
        let mut client = HealthClient::new(stack.clone());
        let mut call = tokio_test::task::spawn(client.check(nobody()));
        let mut done = false;
        for _ in 0..polls {
            if call.poll().is_ready() {
                done = true;
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        HealthClient::new(stack.clone())
            .check(nobody())
            .await
            .expect("the next one is answered");
        if done {
            assert!(polls > 2, "it was dropped at several places");
            return;
        }
    }
}

/// The recorder, and the box of its body: the answer's is in the place of the one that there was.
#[test]
fn a_call_costs_at_most_two_allocations_more_than_a_bare_one() {
    const CALLS: u64 = 100;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (connection, _health) = runtime.block_on(server());
    let memory = Memory::new(PLENTY);
    let count = |recorded: bool| {
        let calls = async {
            for _ in 0..CALLS {
                call(connection.clone(), recorded.then_some(&memory)).await;
            }
        };
        allocation_counter::measure(|| runtime.block_on(calls)).count_total
    };
    // The least of some rounds: the first makes what is made once, such as the dynamic table of the
    // headers, and in others a buffer may grow.
    let least = |recorded| (0..10).map(|_| count(recorded)).min().unwrap();
    let (recorded, bare) = (least(true), least(false));
    let [recorded, bare] = [recorded, bare].map(|it| it.div_ceil(CALLS));
    assert!(recorded <= bare + 2, "{recorded} against {bare}");
}

/// As tonic makes it: the body ends, but does not say so.
async fn call(mut connection: Connection, recorded: Option<&Memory>) {
    let message = Bytes::from_static(&[0; 5]);
    let message = tokio_stream::once(Ok::<_, tonic::Status>(Frame::data(message)));
    let body = Body::new(StreamBody::new(message));
    let request = |body| {
        Request::post(format!("/{CHECK}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(body)
            .unwrap()
    };
    let response = if let Some(memory) = recorded {
        let mut recorder = Recorder::new(body, PLENTY, memory);
        let replay = recorder.attempt().unwrap();
        let response = connection.call(request(Body::new(replay))).await.unwrap();
        let judged = Hold::new(response, PLENTY).await;
        assert_eq!(judged.outcome.unwrap().code, Code::Ok);
        judged.response.map(Body::new)
    } else {
        connection.call(request(body)).await.unwrap().map(Body::new)
    };
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
}

/// Tries each connection once.
#[derive(Clone)]
struct Parts {
    connections: Arc<Mutex<VecDeque<Connection>>>,
    methods: Methods,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Parts {
    fn over(connections: impl Into<VecDeque<Connection>>) -> Self {
        Self {
            connections: Arc::new(Mutex::new(connections.into())),
            methods: Methods::new()
                .with_method(CHECK, Method::unary())
                .with_method(WATCH, Method::server_streaming()),
            outcomes: Arc::default(),
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().unwrap().clone()
    }

    fn tell(&self) -> impl FnOnce(Outcome) + Send + Unpin + 'static {
        let outcomes = Arc::clone(&self.outcomes);
        move |outcome| outcomes.lock().unwrap().push(outcome)
    }

    /// The last connection stays.
    fn connection(&self) -> (Connection, bool) {
        let mut connections = self.connections.lock().unwrap();
        let connection = connections.front().unwrap().clone();
        let last = connections.len() == 1;
        if !last {
            connections.pop_front();
        }
        (connection, last)
    }

    async fn run(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let method = self.methods.get(request.uri().path());
        let (head, body) = request.into_parts();
        let mut recorder = Recorder::new(body, PLENTY, &Memory::new(usize::MAX));
        loop {
            let (mut connection, last) = self.connection();
            let replay = recorder.attempt().expect("nothing was forgotten");
            let request = Request::from_parts(head.clone(), Body::new(replay));
            let mut response = match connection.call(request).await {
                Ok(response) => response,
                Err(error) => {
                    let asked = recorder.withdraw();
                    if let Some(status) = recorder.failure() {
                        return Err(status.into());
                    }
                    let mut outcome = status::failed(&*error);
                    if !asked {
                        outcome = outcome.without_body(method.streams_requests());
                    }
                    self.tell()(outcome);
                    if !last && (method.is_idempotent() || outcome.processed != Processed::Maybe) {
                        continue;
                    }
                    return Err(status::status(outcome.code, error).into());
                }
            };
            let answer = response.status();
            if method.streams_responses() {
                recorder.commit();
                if let Some(outcome) = status::told(response.headers_mut()) {
                    self.tell()(outcome);
                    return Ok(response.map(Body::new));
                }
                let watch = |body| Body::new(Watch::new(body, answer, self.tell()));
                return Ok(response.map(watch));
            }
            let judged = Hold::new(response, PLENTY).await;
            let Some(outcome) = judged.outcome else {
                recorder.commit();
                let watch = |body| Body::new(Watch::new(body, answer, self.tell()));
                return Ok(judged.response.map(watch));
            };
            self.tell()(outcome);
            if !last && method.is_idempotent() && outcome.code == Code::Unavailable {
                continue;
            }
            return Ok(judged.response.map(Body::new));
        }
    }
}

impl Service<Request<Body>> for Parts {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

/// A connection to a server of tonic's, which serves gRPC's health.
async fn server() -> (Connection, HealthReporter) {
    let (health, service) = tonic_health::server::health_reporter();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    (peer::over(ours).await, health)
}

fn nobody() -> HealthCheckRequest {
    HealthCheckRequest::default()
}
