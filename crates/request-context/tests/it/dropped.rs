//! Every future of the crate, dropped after every number of polls.

use std::{
    convert::Infallible,
    future::{Future, pending},
    sync::{Arc, Mutex},
};

use http::Request;
use mainstay_request_context::{
    ClientContextLayer, Id, InContext, InFlight, RequestContext, ServerContextLayer, spawn,
};
use tokio::task::yield_now;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

const POLLS: usize = 4;

/// In which context, and among how many in flight, each was dropped.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Option<String>, usize)>>>);

struct Dropped(Seen, InFlight);

impl Drop for Dropped {
    fn drop(&mut self) {
        let seen = (current(), self.1.len());
        self.0.0.lock().unwrap().push(seen);
    }
}

impl Seen {
    /// Work that is pending so many times, and has something to be dropped even before its first poll.
    fn work(&self, in_flight: &InFlight) -> impl Future<Output = Result<(), Infallible>> + use<> {
        let dropped = Dropped(self.clone(), in_flight.clone());
        async move {
            let _dropped = dropped;
            for _ in 0..POLLS {
                yield_now().await;
            }
            Ok(())
        }
    }

    #[track_caller]
    fn assert(&self, context: Option<&str>, in_flight: usize) {
        let expected = (context.map(str::to_owned), in_flight);
        assert_eq!(*self.0.lock().unwrap(), [expected]);
    }
}

fn current() -> Option<String> {
    RequestContext::current().map(|it| it.id().to_string())
}

fn context(id: &str) -> RequestContext {
    RequestContext::new(Id::new(id).unwrap())
}

fn request(id: &str) -> Request<()> {
    Request::builder()
        .header("x-request-id", id)
        .body(())
        .unwrap()
}

/// Polls within another context, which is to be untouched, and drops there.
fn drop_after(polls: usize, future: impl Future) {
    context("around").in_scope(|| {
        let mut future = task::spawn(future);
        for _ in 0..polls {
            assert!(future.poll().is_pending());
            assert_eq!(current().as_deref(), Some("around"));
        }
        drop(future);
        assert_eq!(current().as_deref(), Some("around"));
    });
    assert_eq!(current(), None);
}

#[tokio::test]
async fn the_response_of_a_server() {
    for polls in 0..=POLLS {
        let (seen, in_flight) = (Seen::default(), InFlight::new());
        let layer = ServerContextLayer::new().with_in_flight(in_flight.clone());
        let work = service_fn(|_: Request<()>| seen.work(&in_flight));
        drop_after(polls, layer.layer(work).call(request("a")));
        seen.assert(Some("a"), 1);
        assert!(in_flight.is_empty());
    }
}

#[tokio::test]
async fn the_response_of_a_client() {
    for polls in 0..=POLLS {
        let (seen, in_flight) = (Seen::default(), InFlight::new());
        let layer = ClientContextLayer::new().with_in_flight(in_flight.clone());
        let work = service_fn(|_: Request<()>| seen.work(&in_flight));
        drop_after(polls, layer.layer(work).call(request("a")));
        seen.assert(Some("a"), 1);
        assert!(in_flight.is_empty());
    }
}

#[cfg(feature = "http-body")]
#[tokio::test]
async fn the_response_whose_body_goes_on() {
    for polls in 0..=POLLS {
        let (seen, in_flight) = (Seen::default(), InFlight::new());
        let layer = ServerContextLayer::new()
            .with_in_flight(in_flight.clone())
            .with_bodies();
        let work = service_fn(|_: Request<()>| {
            let work = seen.work(&in_flight);
            async move { work.await.map(http::Response::new) }
        });
        drop_after(polls, layer.layer(work).call(request("a")));
        seen.assert(Some("a"), 1);
        assert!(in_flight.is_empty());
    }
}

#[tokio::test]
async fn a_scope() {
    for polls in 0..=POLLS {
        for inner in [Some(context("a")), None] {
            let (seen, in_flight) = (Seen::default(), InFlight::new());
            drop_after(polls, seen.work(&in_flight).in_context(inner.clone()));
            seen.assert(inner.as_ref().map(|it| it.id().as_str()), 0);
        }
    }
}

#[tokio::test]
async fn a_scope_within_a_scope() {
    for polls in 0..=POLLS {
        let (seen, in_flight) = (Seen::default(), InFlight::new());
        let inner = seen.work(&in_flight).in_context(context("inner"));
        drop_after(polls, inner.in_context(context("outer")));
        seen.assert(Some("inner"), 0);
    }
}

/// Its runtime drops it, outside of any context.
#[tokio::test]
async fn a_task_that_inherits() {
    let (seen, in_flight) = (Seen::default(), InFlight::new());
    let dropped = Dropped(seen.clone(), in_flight);
    let task = context("a").in_scope(|| {
        spawn(async move {
            let _dropped = dropped;
            pending::<()>().await;
        })
    });
    yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    seen.assert(Some("a"), 0);
    assert_eq!(current(), None);
}

/// A panic in a task that inherits is its own, and the thread has no context after it.
#[tokio::test]
async fn a_task_that_inherits_and_panics() {
    let task = context("a").in_scope(|| {
        spawn(async {
            yield_now().await;
            panic!("in {}", current().unwrap());
        })
    });
    let panic = task.await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast::<String>().unwrap(), "in a");
    assert_eq!(current(), None);
    assert_eq!(tokio::spawn(async { current() }).await.unwrap(), None);
}
