//! Contexts that last as long as the body of the response.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use mainstay_request_context::{ContextBody, InFlight, RequestContext, ServerContextLayer};
use tokio_test::{assert_pending, assert_ready_err, task};
use tower::{Layer, Service, ServiceExt, service_fn};

type Seen = Arc<Mutex<Vec<Option<String>>>>;

/// Two frames and an end; remembers in which context it was read and dropped.
struct Stream {
    left: u32,
    panics_at: Option<u32>,
    seen: Seen,
}

impl Stream {
    fn see(&self) {
        let current = RequestContext::current().map(|it| it.id().to_string());
        self.seen.lock().unwrap().push(current);
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.see();
        assert_ne!(self.panics_at, Some(self.left), "as it was told");
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.see();
    }
}

async fn answer(in_flight: &InFlight, panics_at: Option<u32>) -> (ContextBody<Stream>, Seen) {
    let seen = Seen::default();
    let (left, stream) = (2, seen.clone());
    let service = service_fn(move |_: Request<()>| {
        let seen = stream.clone();
        async move {
            Ok::<_, Infallible>(Response::new(Stream {
                left,
                panics_at,
                seen,
            }))
        }
    });
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_bodies();
    let request = Request::builder()
        .header("x-request-id", "a")
        .body(())
        .unwrap();
    let response = layer.layer(service).oneshot(request).await.unwrap();
    (response.into_body(), seen)
}

fn read(body: Pin<&mut ContextBody<Stream>>) -> bool {
    let poll = body.poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(RequestContext::current().is_none());
    matches!(poll, Poll::Ready(Some(Ok(_))))
}

#[tokio::test]
async fn a_body_is_read_and_dropped_in_its_context_and_is_in_flight_until_its_end() {
    let in_flight = InFlight::new();
    let (body, seen) = answer(&in_flight, None).await;
    {
        let mut body = pin!(body);
        for _ in 0..2 {
            assert_eq!(in_flight.len(), 1);
            assert!(read(body.as_mut()));
        }
        assert_eq!(in_flight.len(), 1);
        assert!(!read(body.as_mut()));
        assert_eq!(in_flight.len(), 0);
    }
    assert_eq!(*seen.lock().unwrap(), vec![Some("a".to_owned()); 4]);
}

#[tokio::test]
async fn a_body_that_is_dropped_after_any_frame_is_no_longer_in_flight() {
    let in_flight = InFlight::new();
    for frames in 0..=2 {
        let (body, seen) = answer(&in_flight, None).await;
        {
            let mut body = pin!(body);
            for _ in 0..frames {
                assert!(read(body.as_mut()));
            }
            assert_eq!(in_flight.len(), 1);
        }
        assert!(in_flight.is_empty(), "after {frames}");
        assert_eq!(
            *seen.lock().unwrap(),
            vec![Some("a".to_owned()); frames + 1]
        );
    }
}

/// Before there is a body.
#[tokio::test]
async fn a_response_that_is_dropped_after_any_poll_or_fails_is_no_longer_in_flight() {
    const POLLS: usize = 3;
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_bodies();
    let mut service = layer.layer(service_fn(|_: Request<()>| async {
        for _ in 0..POLLS {
            tokio::task::yield_now().await;
        }
        Err::<Response<Stream>, _>("as it was told")
    }));
    for polls in 0..=POLLS {
        let mut call = task::spawn(service.call(Request::new(())));
        for _ in 0..polls {
            assert_pending!(call.poll());
        }
        assert_eq!(in_flight.len(), 1);
        drop(call);
        assert!(in_flight.is_empty(), "after {polls} polls");
    }
    let mut call = task::spawn(service.call(Request::new(())));
    for _ in 0..POLLS {
        assert_pending!(call.poll());
    }
    assert_ready_err!(call.poll());
    // Whoever has polled it may keep it.
    assert!(in_flight.is_empty());
    assert!(RequestContext::current().is_none());
}

#[tokio::test]
async fn an_error_has_no_body_that_would_be_in_flight() {
    let in_flight = InFlight::new();
    let layer = ServerContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_bodies();
    let fail = |_: Request<()>| async { Err::<Response<Stream>, _>("as it was told") };
    let mut call = task::spawn(layer.layer(service_fn(fail)).call(Request::new(())));
    assert_eq!(in_flight.len(), 1);
    assert_ready_err!(call.poll());
    // Whoever has polled it may keep it.
    assert!(in_flight.is_empty());
    assert!(RequestContext::current().is_none());
}

#[tokio::test]
async fn a_body_that_panics_is_no_longer_in_flight_and_its_context_is_cleared() {
    let in_flight = InFlight::new();
    let (body, _) = answer(&in_flight, Some(1)).await;
    let mut body = pin!(body);
    assert!(read(body.as_mut()));
    assert!(catch_unwind(AssertUnwindSafe(|| read(body.as_mut()))).is_err());
    assert!(in_flight.is_empty());
    assert!(RequestContext::current().is_none());
}
