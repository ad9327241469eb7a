//! Who is in flight.

use std::{
    collections::VecDeque,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use http::Request;
use mainstay_request_context::{ClientContextLayer, InFlight, RequestContext, ServerContextLayer};
use tokio::{task::yield_now, time::advance};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, service_fn};

const POLLS: usize = 3;

async fn slow<B>(_: Request<B>) -> Result<(), Infallible> {
    for _ in 0..POLLS {
        yield_now().await;
    }
    Ok(())
}

fn request(id: &str) -> Request<()> {
    Request::builder()
        .uri("/proto.KV/Get")
        .header("x-request-id", id)
        .body(())
        .unwrap()
}

fn ids(in_flight: &InFlight) -> Vec<String> {
    let requests = in_flight.snapshot();
    assert_eq!(requests.len(), in_flight.len());
    requests
        .iter()
        .map(|it| it.context.id().to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn those_in_flight_are_known_with_id_client_age_and_method() {
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new().with_in_flight(in_flight.clone());
    let mut service = layer.layer(service_fn(slow));
    let mut first = request("a");
    first
        .headers_mut()
        .insert("x-client-id", "web".parse().unwrap());
    let mut first = task::spawn(service.call(first));
    advance(Duration::from_secs(3)).await;
    let second = task::spawn(service.call(request("b")));
    advance(Duration::from_secs(1)).await;

    let [one, two] = in_flight.snapshot().try_into().unwrap();
    assert_eq!(
        (one.context.id().as_str(), one.age),
        ("a", Duration::from_secs(4))
    );
    assert_eq!(
        (two.context.id().as_str(), two.age),
        ("b", Duration::from_secs(1))
    );
    assert_eq!(one.context.client().unwrap().as_str(), "web");
    assert_eq!(one.context.path(), "/proto.KV/Get");
    assert_eq!(one.context.method(), http::Method::GET);

    for _ in 0..POLLS {
        assert_pending!(first.poll());
    }
    assert_ready_ok!(first.poll());
    assert_eq!(ids(&in_flight), ["b"]);
    drop(second);
    assert!(in_flight.is_empty());
}

#[tokio::test]
async fn dropped_after_any_poll_it_is_no_longer_in_flight() {
    let in_flight = InFlight::new();
    let mut service = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .layer(service_fn(slow));
    for polls in 0..=POLLS {
        let mut call = task::spawn(service.call(request("a")));
        for _ in 0..polls {
            assert_pending!(call.poll());
            assert_eq!(ids(&in_flight), ["a"]);
        }
        drop(call);
        assert_eq!(in_flight.len(), 0, "after {polls} polls");
    }
}

#[tokio::test]
async fn a_panic_is_no_longer_in_flight() {
    let in_flight = InFlight::new();
    let service = service_fn(|it: Request<()>| {
        assert_ne!(it.headers()["x-request-id"], "call");
        async {
            yield_now().await;
            panic!("in flight: {}", RequestContext::current().unwrap().id());
            #[expect(unreachable_code)]
            Ok::<_, Infallible>(())
        }
    });
    let mut service = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .layer(service);
    let mut call = |id| catch_unwind(AssertUnwindSafe(|| service.call(request(id))));
    assert!(call("call").is_err());
    assert_eq!(in_flight.len(), 0);
    let mut call = Box::pin(call("poll").unwrap());
    let panic = AssertUnwindSafe(call.as_mut()).catch_unwind().await;
    assert!(panic.is_err());
    // Whoever has caught it may keep the future for as long as it likes.
    assert_eq!(in_flight.len(), 0);
}

#[tokio::test]
async fn the_same_id_twice_is_two_requests() {
    let in_flight = InFlight::new();
    let mut service = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .layer(service_fn(slow));
    let one = task::spawn(service.call(request("a")));
    let two = task::spawn(service.call(request("a")));
    assert_eq!(ids(&in_flight), ["a", "a"]);
    drop(one);
    assert_eq!(ids(&in_flight), ["a"]);
    drop(two);
    assert!(in_flight.is_empty());
}

#[tokio::test]
async fn outgoing_calls_can_be_in_flight_too() {
    let in_flight = InFlight::new();
    let mut service = ClientContextLayer::new()
        .with_in_flight(in_flight.clone())
        .layer(service_fn(slow));
    let call = task::spawn(service.call(request("a")));
    assert_eq!(ids(&in_flight), ["a"]);
    drop(call);
    assert!(in_flight.is_empty());
}

/// A request's own values may ask for them when they are dropped, even as the last of the request.
#[tokio::test]
async fn who_is_in_flight_can_be_asked_from_anywhere_below() {
    #[derive(Clone)]
    struct Asks(InFlight);
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.len() < 2);
        }
    }
    let in_flight = InFlight::new();
    let asks = in_flight.clone();
    let inner = ClientContextLayer::new()
        .with_in_flight(in_flight.clone())
        .layer(service_fn(slow));
    let outer = service_fn(move |it: Request<()>| {
        let context = RequestContext::current()
            .unwrap()
            .with_field(Asks(asks.clone()));
        let mut inner = inner.clone();
        context.in_scope(|| inner.call(it))
    });
    let mut service = ServerContextLayer::new().layer(outer);
    let mut call = task::spawn(service.call(request("a")));
    assert_pending!(call.poll());
    assert_eq!(in_flight.len(), 1);
    while call.poll().is_pending() {}
    assert!(in_flight.is_empty());

    let mut call = task::spawn(service.call(request("a")));
    assert_pending!(call.poll());
    drop(call);
    assert!(in_flight.is_empty());
}

/// Threads hand a request round in a ring: each begins one of its own before it ends the one that it was
/// handed, which was begun by another. So there is always one, for a moment two.
#[test]
fn a_snapshot_is_of_one_moment() {
    const THREADS: usize = 4;
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new().with_in_flight(in_flight.clone());
    let done = Arc::new(AtomicBool::new(false));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let mut senders: VecDeque<_> = senders.into();
    let first = layer.layer(service_fn(slow)).call(request("a"));
    senders[0].send(first).unwrap();
    senders.rotate_left(1);
    let threads: Vec<_> = senders
        .into_iter()
        .zip(receivers)
        .map(|(next, before)| {
            let mut service = layer.layer(service_fn(slow));
            let done = done.clone();
            thread::spawn(move || {
                for handed in before {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let own = service.call(request("a"));
                    drop(handed);
                    // The next one may have ended already.
                    let _ = next.send(own);
                }
            })
        })
        .collect();
    for _ in 0..5_000 {
        let len = in_flight.snapshot().len();
        assert!((1..=2).contains(&len), "{len}");
    }
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(in_flight.is_empty());
}
