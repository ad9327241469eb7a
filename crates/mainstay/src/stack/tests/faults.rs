//! Connections that go wrong in all ways, one after another, until one is well.

use h2::Reason;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::connection::{Call, Connection};
use crate::peer::{self, END_STREAM, Peer};

const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";
const DEADLINE: Duration = Duration::from_secs(60);
/// A message that says that it serves.
const MESSAGE: &[u8] = b"\0\0\0\0\x02\x08\x01";

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is closed before the request comes.
    Dead,
    /// It says GOAWAY, and that it has not looked at the request.
    Refuse,
    Drop,
    DropAfterHeaders,
    /// So much of the message is there.
    DropInMessage(usize),
    Reset(Reason),
    ResetAfterHeaders(Reason),
    TrailersOnly(u8),
    Status(u8),
    NoTrailers,
    Delay(u64),
    Hang,
    HangAfterHeaders,
}

fn fault() -> impl Strategy<Value = Fault> {
    // NO_ERROR is a clean end to hyper, once there are headers.
    let reason = || (1..14_u32).prop_map(Reason::from);
    prop_oneof![
        4 => Just(Fault::Dead),
        4 => Just(Fault::Refuse),
        4 => Just(Fault::Drop),
        4 => Just(Fault::DropAfterHeaders),
        4 => (0..=MESSAGE.len()).prop_map(Fault::DropInMessage),
        4 => reason().prop_map(Fault::Reset),
        2 => reason().prop_map(Fault::ResetAfterHeaders),
        2 => (1..17_u8).prop_map(Fault::TrailersOnly),
        4 => Just(Fault::TrailersOnly(14)),
        2 => (1..17_u8).prop_map(Fault::Status),
        4 => Just(Fault::Status(14)),
        4 => Just(Fault::NoTrailers),
        1 => (1..5_000_u64).prop_map(Fault::Delay),
        1 => Just(Fault::Hang),
        1 => Just(Fault::HangAfterHeaders),
    ]
}

/// What the caller is to be told by this connection; none if the call goes on to the next.
fn expected(fault: Fault, streams: bool, idempotent: bool) -> Option<Code> {
    let unless = |again: bool, code| (!again).then_some(code);
    let reset = |reason: Reason| match u32::from(reason) {
        7 => Code::Unavailable,
        8 => Code::Cancelled,
        11 => Code::ResourceExhausted,
        12 => Code::PermissionDenied,
        5 | 13 => Code::Unknown,
        _ => Code::Internal,
    };
    match fault {
        Fault::Dead | Fault::Refuse | Fault::Reset(Reason::REFUSED_STREAM) => None,
        Fault::Drop | Fault::TrailersOnly(14) => unless(idempotent, Code::Unavailable),
        Fault::DropAfterHeaders | Fault::DropInMessage(_) => {
            unless(idempotent && !streams, Code::Unavailable)
        }
        Fault::Reset(reason) => unless(idempotent, reset(reason)),
        Fault::ResetAfterHeaders(reason) => unless(idempotent && !streams, reset(reason)),
        Fault::Status(14) => unless(idempotent && !streams, Code::Unavailable),
        Fault::TrailersOnly(code) | Fault::Status(code) => Some(i32::from(code).into()),
        Fault::NoTrailers => unless(idempotent && !streams, Code::Unknown),
        Fault::Delay(_) => Some(Code::Ok),
        Fault::Hang | Fault::HangAfterHeaders => Some(Code::DeadlineExceeded),
    }
}

proptest! {
    #[test]
    fn a_caller_learns_what_happened_by_its_deadline(
        faults in prop::collection::vec(fault(), 0..4),
        streams in any::<bool>(),
        idempotent in any::<bool>(),
        pauses in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (code, took) = outcome(&faults, streams, idempotent, pauses).await;
            let told = faults.iter().find_map(|it| expected(*it, streams, idempotent));
            prop_assert_eq!(code, told.unwrap_or(Code::Ok));
            if code == Code::DeadlineExceeded {
                prop_assert!(took <= DEADLINE + ms(2), "{took:?}");
            } else {
                prop_assert!(took < DEADLINE / 2, "{took:?}");
            }
            Ok(())
        })?;
    }
}

async fn outcome(
    faults: &[Fault],
    streams: bool,
    idempotent: bool,
    pauses: bool,
) -> (Code, Duration) {
    let mut connections = VecDeque::new();
    for fault in faults.iter().copied().map(Some).chain([None]) {
        let (ours, theirs) = duplex(1 << 16);
        let connection = peer::over(ours).await;
        if matches!(fault, Some(Fault::Dead)) {
            drop(theirs);
            connection.closed().await;
        } else {
            tokio::spawn(play(theirs, fault, pauses));
        }
        connections.push_back(connection);
    }
    let with = |method: Method| {
        if idempotent {
            method.idempotent()
        } else {
            method
        }
    };
    let stack = Stack::new(
        Methods::new()
            .with_method(CHECK, with(Method::unary()))
            .with_method(WATCH, with(Method::server_streaming())),
    );
    let one_by_one = OneByOne(Arc::new(Mutex::new(connections)));
    let mut client = HealthClient::new(stack.layer(one_by_one));
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.set_timeout(DEADLINE);
    let begun = Instant::now();
    let received: Result<(), Status> = async {
        if !streams {
            return client.check(request).await.map(drop);
        }
        let mut updates = client.watch(request).await?.into_inner();
        while updates.message().await?.is_some() {}
        Ok(())
    }
    .await;
    let took = begun.elapsed();
    let code = received.map_or_else(|status| status.code(), |()| Code::Ok);
    drop(client);
    let snapshot = stack.snapshot();
    assert_eq!((snapshot.calls.in_flight, snapshot.requests_kept), (0, 0));
    (code, took)
}

async fn play(stream: DuplexStream, fault: Option<Fault>, pauses: bool) {
    let mut peer = Peer::accept(stream, &[]).await;
    let stream = peer.request().await;
    let status = |code: u8| code.to_string();
    let mut len = MESSAGE.len();
    match fault {
        Some(Fault::Dead) => unreachable!("it is not there"),
        Some(Fault::Refuse) => peer.go_away(0, Reason::NO_ERROR).await,
        Some(Fault::Drop) => return,
        Some(Fault::Hang) => {}
        Some(Fault::Reset(reason)) => peer.reset(stream, reason).await,
        Some(Fault::TrailersOnly(code)) => {
            let fields = &[("grpc-status", &*status(code))];
            peer.trailers_only(stream, fields).await;
        }
        after_headers => {
            if let Some(Fault::Delay(milliseconds)) = after_headers {
                sleep(ms(milliseconds)).await;
            }
            peer.headers(stream).await;
            if pauses {
                peer.settle().await;
            }
            match after_headers {
                Some(Fault::DropAfterHeaders) => return,
                Some(Fault::ResetAfterHeaders(reason)) => {
                    peer.reset(stream, reason).await;
                    return hold(peer).await;
                }
                Some(Fault::HangAfterHeaders) => return hold(peer).await,
                Some(Fault::DropInMessage(most)) => len = most,
                _ => {}
            }
            peer.data(stream, &MESSAGE[..len], 0).await;
            if pauses {
                peer.settle().await;
            }
            match after_headers {
                Some(Fault::DropInMessage(_)) => return,
                Some(Fault::NoTrailers) => peer.data(stream, b"", END_STREAM).await,
                Some(Fault::Status(code)) => {
                    let fields = &[("grpc-status", &*status(code))];
                    peer.trailers(stream, fields).await;
                }
                _ => peer.trailers(stream, &[("grpc-status", "0")]).await,
            }
        }
    }
    hold(peer).await;
}

/// The connection stays, until the other side closes it.
async fn hold(mut peer: Peer<DuplexStream>) {
    while peer.frame().await.is_some() {}
}

/// Each connection takes one call, but for the last, which takes all that follow.
#[derive(Clone)]
struct OneByOne(Arc<Mutex<VecDeque<Connection>>>);

impl Service<Request<Body>> for OneByOne {
    type Response = Response<hyper::body::Incoming>;
    type Error = BoxError;
    type Future = Call;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Call {
        let mut connections = self.0.lock().unwrap();
        let mut connection = connections[0].clone();
        if connections.len() > 1 {
            connections.pop_front();
        }
        connection.call(request)
    }
}
