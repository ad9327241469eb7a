//! Servers that end all the time, under load, and calls that must not run twice.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::*;

const CALLERS: usize = 16;
const FOR: Duration = Duration::from_millis(1500);
/// A bound for what should take milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// Where callers find the server of the moment.
#[derive(Clone)]
struct Place(Arc<Mutex<Connection>>);

/// How often each call ran.
type Runs = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Default)]
struct Tally {
    answered: AtomicU64,
    lost: AtomicU64,
    never: AtomicU64,
    refused: AtomicU64,
}

/// Half of the servers close, the others say GOAWAY and go on for a little while.
#[test]
fn no_call_runs_twice_while_servers_end() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let runs = Runs::default();
    let tally = Arc::<Tally>::default();
    runtime.block_on(async {
        let (first, mut stop) = serve(&runs).await;
        let place = Place(Arc::new(Mutex::new(first)));
        let end = Instant::now() + FOR;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(call_until(end, place.clone(), runs.clone(), tally.clone())))
            .collect();
        let mut gently = false;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let (next, stop_next) = serve(&runs).await;
            *place.0.lock().unwrap() = next;
            let _ = std::mem::replace(&mut stop, stop_next).send(gently);
            gently = !gently;
        }
        for caller in callers {
            caller.await.unwrap();
        }
    });
    let runs = runs.lock().unwrap();
    assert!(runs.iter().all(|&it| it <= 1), "{tally:?}");
    let ran = runs.iter().filter(|&&it| it == 1).count();
    let [answered, lost, never, refused] =
        [&tally.answered, &tally.lost, &tally.never, &tally.refused]
            .map(|it| it.load(Ordering::SeqCst));
    assert!(ran as u64 >= answered && ran as u64 <= answered + lost);
    assert!(answered > 100 && never + refused > 0, "{tally:?}");
}

async fn call_until(end: Instant, place: Place, runs: Runs, tally: Arc<Tally>) {
    while Instant::now() < end {
        let id = {
            let mut runs = runs.lock().unwrap();
            runs.push(0);
            runs.len() - 1
        };
        let message = Bytes::copy_from_slice(&id.to_be_bytes());
        let mut recorder = Recorder::new(
            Body::new(Full::new(message)),
            PLENTY,
            &Memory::new(usize::MAX),
        );
        loop {
            let mut connection = place.0.lock().unwrap().clone();
            let replay = recorder.attempt().unwrap();
            let request = Request::post("/storm.v1.Storm/Run").body(Body::new(replay));
            let calling = timeout(SOON, connection.call(request.unwrap()));
            let response = calling.await.expect("it does not hang");
            let outcome = match response {
                Ok(response) => Hold::new(response, PLENTY).await.outcome.unwrap(),
                Err(error) => {
                    let asked = recorder.withdraw();
                    let outcome = status::failed(&*error);
                    match asked {
                        true => outcome,
                        false => outcome.without_body(false),
                    }
                }
            };
            let count = match (outcome.code, outcome.processed) {
                (Code::Ok, _) => &tally.answered,
                (_, Processed::Never) => &tally.never,
                (_, Processed::Refused) => &tally.refused,
                (_, Processed::Maybe) => &tally.lost,
            };
            count.fetch_add(1, Ordering::SeqCst);
            if outcome.code == Code::Ok || outcome.processed == Processed::Maybe {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A server that ends when it is told to, gently or not.
async fn serve(runs: &Runs) -> (Connection, oneshot::Sender<bool>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (stop, stopped) = oneshot::channel();
    let runs = Arc::clone(runs);
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        run(request, runs.clone())
    });
    tokio::spawn(async move {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut serving = std::pin::pin!(server.serve_connection(TokioIo::new(theirs), service));
        tokio::select! {
            _ = serving.as_mut() => return,
            gently = stopped => match gently {
                Ok(true) => serving.as_mut().graceful_shutdown(),
                _ => return,
            },
        }
        let _ = timeout(Duration::from_millis(1), serving).await;
    });
    (peer::over(ours).await, stop)
}

async fn run(
    request: Request<hyper::body::Incoming>,
    runs: Runs,
) -> Result<Response<Body>, Infallible> {
    let mut trailers = HeaderMap::new();
    if let Ok(message) = request.into_body().collect().await {
        let id = usize::from_be_bytes(message.to_bytes()[..].try_into().unwrap());
        runs.lock().unwrap()[id] += 1;
        if id % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        trailers.insert("grpc-status", 0.into());
    }
    let answer = Full::new(Bytes::from_static(b"answer"));
    let answer = answer.with_trailers(std::future::ready(Some(Ok(trailers))));
    Ok(Response::new(Body::new(answer)))
}
